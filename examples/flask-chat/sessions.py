"""The only SQL of this app: what an admin sees of the sessions, and how one is ended. Flask-Session has
written them as keys; here they are rows (docs/sql.md)."""

import psycopg2

LIVE = """
    SELECT username,
           extract(epoch FROM last_activity)::float8 AS last_activity,
           client_ip, user_agent, user_attributes,
           coalesce(crisis_detected, false) AS crisis_detected,
           coalesce(jsonb_array_length(messages), 0) AS messages,
           jsonb_path_query_array(messages, '$[*] ? (@.role == "user")') -> -1 ->> 'content' AS last_message
    FROM respgres.sessions
    WHERE session_active AND username IS NOT NULL
    ORDER BY crisis_detected DESC NULLS LAST, last_activity DESC
    LIMIT %s"""
COUNT = """
    SELECT count(*) FROM respgres.sessions
    WHERE session_active AND username IS NOT NULL"""
END = """
    UPDATE respgres.sessions SET session_active = false
    WHERE username = %s AND session_active
    RETURNING key"""
ENDED = "SELECT key FROM respgres.sessions WHERE username = %s AND NOT session_active"


class Unavailable(Exception):
    """PostgreSQL is not there. The chat goes on, but nobody can be listed or kicked.
    `done` is False where nothing was done, None where that is not known."""

    def __init__(self, error, done):
        super().__init__(str(error))
        self.done = done


class Sessions:
    def __init__(self, database_url):
        self._url = database_url

    def live(self, most=100):
        """(sessions as dicts, those with an alarm first; how many there are)."""
        return self._ask(lambda cursor: (self._rows(cursor, LIVE, most),
                                         self._rows(cursor, COUNT)[0]["count"]))

    def end(self, username):
        """Ends all sessions of a person. Returns how many there were, and the keys of all that have
        ended."""
        return self._ask(lambda cursor: (len(self._rows(cursor, END, username)),
                                         [row["key"] for row in self._rows(cursor, ENDED, username)]))

    @staticmethod
    def _rows(cursor, sql, *args):
        cursor.execute(sql, args)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row)) for row in cursor]

    def _ask(self, question):
        try:
            conn = psycopg2.connect(self._url, connect_timeout=2,
                                    options="-c statement_timeout=5000")
        except psycopg2.OperationalError as error:
            raise Unavailable(error, False) from error
        try:
            with conn, conn.cursor() as cursor:
                return question(cursor)
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            raise Unavailable(error, None) from error
        finally:
            conn.close()
