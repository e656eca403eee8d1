"""/metrics: the format, that the numbers are true, and that INFO says the same."""

import json
import re

import pytest
import redis

from harness import TOP, encode, free_port, wait_until
from harness.http import Http


def table():
    """docs/monitoring.md: {metric: (type, label, INFO)}; a unit test holds it to metrics.def."""
    text = (TOP / "docs/monitoring.md").read_text(encoding="utf8")
    rows = re.findall(r"^\| `(respgres_\w+)` \| (\w+) \| (\w*) \| (?:`([^`]+)`)? ?\| (.*) \|$", text,
                      re.MULTILINE)
    return {name: (kind, label, info) for name, kind, label, info, _ in rows}


@pytest.fixture
def server(lab, database):
    return lab.respgres(database, http_port=free_port(), consistency="cached")


@pytest.fixture
def http(server):
    return Http(server)


def some_work(client):
    client.mset({f"k{i}": i for i in range(100)})
    for i in range(50):
        client.get(f"k{i}")
        client.get(f"none{i}")
    client.incr("k1")
    for _ in range(3):
        with pytest.raises(redis.ResponseError):
            client.execute_command("SET", "a", "b", "NONSENSE")
        with pytest.raises(redis.ResponseError):
            client.execute_command("INCR", "text")
    with pytest.raises(redis.ResponseError):
        client.execute_command("NOSUCHCOMMAND")


def test_the_page_is_the_table(http, server):
    """Every row of the manual is on the page with its type, and nothing else."""
    client = server.client()
    client.set("text", "x")
    some_work(client)
    families = http.metrics().families
    wanted = table()
    assert len(wanted) > 60
    assert {name: family.type for name, family in families.items()} == {
        name: kind for name, (kind, _, _) in wanted.items()}
    for name, (_, label, _) in wanted.items():
        for sample in families[name].samples:
            assert set(sample.labels) - {"le"} == ({label} if label else set()), name


def test_histograms_are_histograms(http, server):
    client = server.client()
    client.set("text", "x")
    some_work(client)
    seen = 0
    for family in http.metrics().families.values():
        if family.type != "histogram":
            continue
        buckets = [(float(s.labels["le"]), s.value) for s in family.samples
                   if s.name.endswith("_bucket")]
        assert buckets == sorted(buckets) and buckets[-1][0] == float("inf")
        assert [value for _, value in buckets] == sorted(value for _, value in buckets)
        by_name = {s.name.removeprefix(family.name): s.value for s in family.samples}
        assert by_name["_count"] == buckets[-1][1] > 0
        assert by_name["_sum"] >= 0
        seen += 1
    assert seen == 5


def info_value(info, place, labels):
    """What INFO says about a sample; None if it has no such field yet."""
    section, _, rest = place.partition(".")
    for label, value in labels.items():
        rest = rest.replace("{" + label + "}", value)
    field, _, part = rest.partition(".")
    found = info[section].get(field)
    if found is None or not part:
        return found
    return dict(pair.split("=") for pair in found.split(","))[part]


def read_info(raw):
    """{section: {field: text}}"""
    sections = {}
    for line in raw.command("INFO", "everything").decode().splitlines()[1:]:
        if line.startswith("# "):
            section = sections.setdefault(line[2:].lower(), {})
        elif line:
            name, _, value = line.partition(":")
            section[name] = value
    return sections


# These move by themselves, or by looking.
MOVING = {"respgres_state_age_seconds", "respgres_state_seconds_total",
          "respgres_process_cpu_seconds_total", "respgres_process_resident_memory_bytes",
          "respgres_cached_lag_seconds", "respgres_clock_offset_seconds",
          "respgres_clock_error_seconds", "respgres_http_requests_total"}


def test_info_says_the_same(http, server):
    """Every sample whose row names a field of INFO, after some work."""
    client = server.client()
    client.set("text", "x")
    some_work(client)
    wait_until(lambda: http.metrics().value("respgres_cache_trusted") == 1)
    compared = set()
    raw = server.raw()
    raw.command("INFO", "everything")

    def compare():
        """INFO is itself a command: its own call is not counted yet when it looks."""
        before = http.metrics()
        info = read_info(raw)
        differ = []
        for (name, *labels), value in before.samples.items():
            place = table().get(name, ("", "", ""))[2]
            if not place:
                continue
            labels = dict(labels)
            if name == "respgres_state":
                said = info["respgres"]["store_state"] == labels["state"]
            elif (said := info_value(info, place, labels)) is None:
                differ.append((name, labels, "not in INFO"))
                continue
            scale = 1e-6 if place.endswith(("_us", ".usec")) else 1
            said = float(said) * scale
            compared.add(name)
            slack = 2 if name in MOVING and not name.endswith("bytes") else 0
            slack = 32 << 20 if name.endswith("memory_bytes") else slack
            if (labels.get("command") == "info" or labels.get("stage") == "querying" or
                    name == "respgres_commands_received_total"):
                slack = 1
            if abs(said - value) > slack + 1e-9:
                differ.append((name, labels, value, said))
        return differ

    differ = compare()
    for _ in range(20):  # something may have been counted in between
        differ = differ and compare()
    assert differ == []
    raw.close()
    assert {name for name, (_, _, info) in table().items() if info} - compared == set()


def test_the_numbers_are_true(http, server):
    client = server.client()
    client.set("text", "x")
    some_work(client)
    m = http.metrics()
    calls = m.labelled("respgres_command_calls_total", "command")
    assert (calls["get"], calls["mset"], calls["set"], calls["incr"]) == (100, 1, 4, 3)
    failed = m.labelled("respgres_command_failed_total", "command")
    assert (failed["set"], failed["incr"], failed["get"]) == (3, 3, 0)
    errors = m.labelled("respgres_error_replies_total", "error")
    assert errors["ERR"] == 7
    assert m.value("respgres_command_duration_seconds_count") == sum(calls.values())
    seconds = m.labelled("respgres_command_seconds_total", "command")
    assert abs(m.value("respgres_command_duration_seconds_sum") - sum(seconds.values())) < 1e-5
    assert m.value("respgres_keyspace_misses_total") >= 50
    assert m.value("respgres_commit_batch_keys_sum") >= 101
    assert m.value("respgres_connected_clients") == 1
    assert m.value("respgres_process_start_time_seconds") > 1.7e9
    assert m.value("respgres_lane_up", lane="read-0") == 1
    start = m.value("respgres_process_start_time_seconds")
    assert http.metrics().value("respgres_process_start_time_seconds") == start


def test_what_waits_is_counted(lab):
    postgres = lab.own_postgres()
    server = lab.respgres(lab.database(postgres), http_port=free_port(), pg_timeout="20s")
    http = Http(server)
    with server.raw() as a, server.raw() as b:
        postgres.freeze()
        a.send(b"GET a\r\n")
        wait_until(lambda: http.metrics().value("respgres_transactions", stage="fetching") == 1)
        b.send(b"SET b 1\r\nSET b 2\r\nDBSIZE\r\n")
        wait_until(lambda: http.metrics().value("respgres_transactions", stage="gathered") == 2)
        assert http.metrics().value("respgres_transactions", stage="queued") == 1
        postgres.thaw()
        assert a.reply() == b"$-1\r\n"
        assert [b.reply() for _ in range(3)] == [b"+OK\r\n", b"+OK\r\n", b":1\r\n"]
    stages = http.metrics().labelled("respgres_transactions", "stage")
    assert set(stages.values()) == {0}


def test_messages_scripts_and_who_waits_are_counted(lab, database):
    """Of one instance, where another one publishes."""
    server = lab.respgres(database, pg_timeout=10000, http_port=free_port(), notify_keyspace_events="KEx")
    other = lab.respgres(database, pg_timeout=10000, http_port=free_port())
    http, theirs = Http(server), Http(other)
    client, publisher = server.client(), other.client()
    waits, hears, mute = server.raw(), server.raw(timeout=60), server.raw()
    waits.send(b"BLPOP nothing 0\r\n")
    hears.command("SUBSCRIBE", "a")
    hears.command("PSUBSCRIBE", "a*")
    mute.command("SSUBSCRIBE", "s")
    wait_until(lambda: http.metrics().value("respgres_blocked_clients") == 1)
    page = http.metrics()
    assert page.value("respgres_subscribed_clients") == 2
    assert page.labelled("respgres_pubsub_names", "kind") == {"channels": 1, "patterns": 1}
    assert page.value("respgres_pubsub_shard_channels") == 1
    publisher.publish("a", "x" * 100)
    publisher.publish("a", "x" * 10000)
    for _ in range(4):  # by its channel and its pattern
        hears.reply()
    page = http.metrics()
    assert page.value("respgres_messages_received_total") == 2
    assert page.labelled("respgres_messages_by_reference_total", "way") == {"sent": 0, "received": 1}
    wait_until(lambda: theirs.metrics().value("respgres_messages_sent_total") == 2)
    page = theirs.metrics()
    assert page.labelled("respgres_messages_by_reference_total", "way") == {"sent": 1, "received": 0}
    assert page.value("respgres_messages_lost_total") == 0
    client.set("soon", "v", px=1)
    wait_until(lambda: http.metrics().value("respgres_keyspace_events_total") == 2, 30)
    raw = server.raw(timeout=60)
    raw.send(b"".join(encode("EVAL", f"return {number}", 0) for number in range(1005)))
    assert [raw.reply() for _ in range(1005)][-1] == b":1004\r\n"
    page = http.metrics()
    assert page.value("respgres_cached_scripts") == 1000
    assert page.value("respgres_scripts_evicted_total") == 5
    assert page.value("respgres_script_memory_bytes", what="vm") > 0
    assert page.value("respgres_script_memory_bytes", what="scripts") > 8000
    raw.send(encode("EVAL", "while true do end", 0))
    wait_until(lambda: http.metrics().value("respgres_transactions", stage="running") == 1)
    client.script_kill()
    assert raw.reply().startswith(b"-")
    assert http.metrics().value("respgres_scripts_killed_total") == 1
    client.config_resetstat()
    publisher.config_resetstat()
    assert http.metrics().value("respgres_messages_received_total") == 0
    assert theirs.metrics().value("respgres_messages_sent_total") == 0


def test_errors_and_latencies_in_info(server):
    """Redis' sections errorstats and latencystats, and RESETSTAT."""
    client = server.client()
    client.set("text", "x")
    some_work(client)
    with pytest.raises(redis.ResponseError):
        client.execute_command("HELLO", "9")
    block = client.pipeline(transaction=True).set("a", 1).execute_command("INCR", "text")
    assert isinstance(block.execute(raise_on_error=False)[1], redis.ResponseError)
    assert client.info("commandstats")["cmdstat_incr"]["failed_calls"] == 4
    info = client.info("errorstats")
    info.pop("errorstat_LOADING", None)  # while it started
    assert info == {"errorstat_ERR": "count=8", "errorstat_NOPROTO": "count=1"}
    assert client.info("stats")["total_error_replies"] >= 9
    latencies = client.info("latencystats")
    got = latencies["latency_percentiles_usec_get"]
    assert 0 <= got["p50"] <= got["p99"] <= got["p99.9"] < 10e6
    assert latencies["latency_percentiles_usec_mset"]["p50"] > 0
    assert "latency_percentiles_usec_get" not in client.info()
    assert "errorstat_ERR" in client.info()
    client.config_resetstat()
    assert client.info("errorstats") == {}
    assert set(client.info("latencystats")) <= {"latency_percentiles_usec_config|resetstat",
                                                "latency_percentiles_usec_info"}


def test_what_dashboards_and_tools_read_is_there(server):
    """redis-cli --stat, ioredis, node-redis, RedisInsight, redis_exporter."""
    info = server.client().info("everything")
    for field in ("redis_version", "redis_mode", "role", "loading", "connected_clients",
                  "used_memory", "used_memory_human", "used_memory_rss", "maxmemory",
                  "total_commands_processed", "total_connections_received",
                  "instantaneous_ops_per_sec", "keyspace_hits", "keyspace_misses",
                  "uptime_in_seconds", "blocked_clients", "master_replid", "connected_slaves",
                  "evicted_keys", "rejected_connections", "used_cpu_sys", "used_cpu_user",
                  "cluster_enabled", "process_id", "tcp_port", "total_error_replies"):
        assert field in info, field


# --- what is made from the metrics ---------------------------------------------------------------

NAME = re.compile(r"\brespgres_[a-z_]+\b")


def known(http):
    """Names that a query may use."""
    return http.metrics().names()


def test_the_dashboard_names_what_there_is(http, server):
    client = server.client()
    client.set("text", "x")
    some_work(client)
    dashboard = json.loads((TOP / "conf/grafana.json").read_text(encoding="utf8"))
    queries = [target["expr"] for panel in dashboard["panels"]
               for target in panel.get("targets", [])]
    assert len(queries) > 20
    variables = json.dumps(dashboard["templating"])
    named = {name for text in (*queries, variables) for name in NAME.findall(text)}
    assert named - known(http) == set()
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert panel["type"] == "row" or panel["description"], panel["title"]


def test_the_alerts_name_what_there_is(http, server):
    client = server.client()
    client.set("text", "x")
    some_work(client)
    text = (TOP / "conf/alerts.yml").read_text(encoding="utf8")
    named = set(NAME.findall(text))
    assert len(named) > 10
    assert named - known(http) == set()
    alerts = re.findall(r"- alert: (\w+)", text)
    manual = (TOP / "docs/monitoring.md").read_text(encoding="utf8")
    assert re.findall(r"^\| `(Respgres\w+)` \|", manual, re.MULTILINE) == alerts


def test_no_counter_is_negative_at_the_start(lab):
    """The store's first state ends within the first turn of the loop here."""
    for _ in range(3):
        server = lab.respgres(standalone="yes", http_port=free_port())
        families = Http(server).metrics().families
        assert [s for f in families.values() if f.type == "counter" for s in f.samples if s.value < 0] == []
        info = server.info("respgres")
        assert {name: value for name, value in info.items() if name.endswith("_us") and value < 0} == {}
