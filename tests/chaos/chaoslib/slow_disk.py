"""PostgreSQL's disk, slow at times (tests/tools/slow_disk.c says how). To be made before it is started."""

import shutil

from harness.servers import Respgres


class SlowDisk:
    def __init__(self, postgres):
        built = Respgres.binary().parent / "tests" / "slow_disk.so"
        library, self._orders = postgres.dir / built.name, postgres.dir / "slow_disk"
        shutil.copyfile(built, library)  # where its owner may read it
        library.chmod(0o755)
        postgres.environ.update(LD_PRELOAD=str(library), RESPGRES_SLOW_DISK=str(self._orders))

    def begin(self, permille, most_ms):
        fresh = self._orders.with_suffix(".new")
        fresh.write_text(f"{permille} {most_ms}\n")
        fresh.chmod(0o644)
        fresh.rename(self._orders)

    def end(self):
        self._orders.unlink(missing_ok=True)
