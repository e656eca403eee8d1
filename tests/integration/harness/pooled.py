"""The same labs with a PgBouncer between respgres and PostgreSQL: a test that knows nothing of it runs
through it."""

from .lab import Lab


class PooledLab(Lab):
    """Each database has a PgBouncer with few connections."""

    pool_size = 3

    def __init__(self, shared_postgres):
        super().__init__(shared_postgres)
        self._pooler_of = {}

    def pooler_of(self, database):
        if database not in self._pooler_of:
            self._pooler_of[database] = self.pgbouncer(database, pool_size=self.pool_size)
        return self._pooler_of[database]

    def respgres(self, database=None, start="ready", **options):
        options.setdefault("pg_pooler", "transaction")
        if hasattr(database, "url"):
            database = self.pooler_of(database).url
        return super().respgres(database, start, **options)

    def postgres_port(self, database):
        return self.pooler_of(database).port
