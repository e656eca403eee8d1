"""What the integration tests are made of: servers that a test starts, talks to and kills."""

from .pgbouncer import PgBouncer
from .postgres import Database, Postgres
from .proxy import Proxy
from .raw import ProtocolError, RawClient, encode
from .servers import RedisServer, Respgres, Server, later
from .util import TOP, free_port, tail, wait_until

__all__ = [
    "Database", "PgBouncer", "Postgres", "ProtocolError", "Proxy", "RawClient", "RedisServer", "Respgres",
    "Server", "TOP", "encode", "free_port", "later", "tail", "wait_until",
]
