"""For tests that tell an outage step by step: instances behind proxies of their own, with a journal
each."""

from harness import later, wait_until

from .scenario import conflicts_of, rows_of


# Connections that are refused show an outage at once; one that is only late does not, for so long.
PATIENT_MS, QUICK_MS = 10_000, 500


class Site:
    def __init__(self, lab, database, count=2, **options):
        self.lab, self.database = lab, database
        self.proxies = [lab.proxy(("127.0.0.1", database.postgres.port)) for _ in range(count)]
        self.servers = [self._server(n, options) for n in range(count)]
        for server in self.servers:
            wait_for_state(server, "online")

    def _server(self, number, options):
        options = {"pg_timeout": PATIENT_MS, "instance_name": f"instance-{number}", **options}
        server = self.lab.respgres(self.database.url_by(port=self.proxies[number].port), start=False,
                                   **options)
        server.options["dir"] = server.dir / "journals"
        return server.start()

    def cut_off(self, *numbers):
        """Returns when they know it."""
        for number in numbers:
            self.proxies[number].refuse()
            self.proxies[number].cut()
        for number in numbers:
            wait_for_state(self.servers[number], "away")

    def reconnect(self, *numbers):
        """Returns when they have merged."""
        for number in numbers:
            self.proxies[number].pass_on()
        for number in numbers:
            wait_for_state(self.servers[number], "online")

    def forget(self, number):
        """Killed and started again: it knows nothing but its journal."""
        self.servers[number].kill9()
        start_without_postgresql(self.servers[number])

    def clients(self):
        return [server.client() for server in self.servers]

    def later(self):
        """Returns when what comes now is later by everybody's clock."""
        later(*self.servers)

    def rows(self):
        """key → value"""
        return {key.decode(): row.value for key, row in rows_of(self.database).items()}

    def conflicts(self):
        """(key, value, the side that lost), sorted."""
        return sorted((c.key.decode(), c.value, c.lost) for c in conflicts_of(self.database))


def start_without_postgresql(server):
    """It waits for PostgreSQL as long as its pg-timeout is, then serves from memory."""
    patient = server.options["pg-timeout"]
    server.options["pg-timeout"] = QUICK_MS
    server.start("answering")
    wait_for_state(server, "away")
    server.options["pg-timeout"] = patient
    server.client().config_set("pg-timeout", patient)


def state_of(server):
    info = server.info("postgres")
    return info.get("store_state") or info.get("postgres_state")


def wait_for_state(server, state, timeout=30):
    wait_until(lambda: state_of(server) == state, timeout, f"{server.name} is {state}")
