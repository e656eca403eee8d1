"""INFO memory: numbers that belong together, so that what watches a Redis can watch this."""

import pytest

from harness import wait_until

pytestmark = pytest.mark.rows


def test_the_sums_are_right(respgres):
    client = respgres.client()
    before = client.info("memory")
    assert before["used_memory_startup"] > 100_000
    for i in range(8):
        client.set(f"k{i}", "v" * 1_000_000)
    m = client.info("memory")
    assert m["used_memory"] == m["used_memory_overhead"] + m["used_memory_dataset"]
    assert m["used_memory_startup"] <= m["used_memory_overhead"] < m["used_memory"] <= m["used_memory_peak"]
    assert m["used_memory_dataset"] - before["used_memory_dataset"] > 8_000_000
    assert m["used_memory"] - before["used_memory"] > 8_000_000
    assert m["used_memory_startup"] == before["used_memory_startup"]
    assert m["used_memory_rss"] > m["used_memory_dataset"]
    assert 0.5 < m["mem_fragmentation_ratio"] < 60  # a sanitizer has much besides
    assert 90 < float(m["used_memory_dataset_perc"].rstrip("%")) <= 100
    stats = client.memory_stats()
    assert stats["startup.allocated"] == m["used_memory_startup"]
    assert stats["total.allocated"] == stats["overhead.total"] + stats["dataset.bytes"]


def test_waiting_replies_are_part_of_it(respgres):
    """What a client does not read."""
    client = respgres.client()
    client.set("k", "v" * 10_000_000)
    before = client.info("memory")
    with respgres.raw() as raw:
        for _ in range(2):
            raw.send(b"GET k\r\n")
        wait_until(lambda: client.info("memory")["mem_clients_normal"] > 5_000_000, 20, "it has not read")
        now = client.info("memory")
        assert now["used_memory_overhead"] > before["used_memory_overhead"] + 5_000_000
