"""A browser of a simulated person: one connection to the proxy, kept open, and the cookies."""

import asyncio
import collections
import json
import time

TIMEOUT_S = 30

# status 0: no answer. app: which one answered, 0 where that is not known.
Answer = collections.namedtuple("Answer", "status app body begun ended request")


async def pause(ending, seconds):
    """Sleeps, not longer than until `ending`."""
    try:
        await asyncio.wait_for(ending.wait(), seconds)
    except asyncio.TimeoutError:
        pass


class Browser:
    def __init__(self, port, clock=time.monotonic):
        self.port, self.clock = port, clock
        self.cookies = {}
        self._reader = self._writer = None

    async def get(self, path, cookies=None):
        return await self._ask("GET", path, b"", cookies)

    async def post(self, path, content):
        return await self._ask("POST", path, json.dumps(content).encode(), None)

    async def _ask(self, method, path, body, cookies):
        begun, what = self.clock(), f"{method} {path} {body.decode()}".rstrip()
        chosen = self.cookies if cookies is None else cookies
        cookie = "; ".join(f"{name}={value}" for name, value in chosen.items())
        request = (f"{method} {path} HTTP/1.1\r\nHost: chat\r\nUser-Agent: simulated\r\n"
                   f"Cookie: {cookie}\r\nContent-Type: application/json\r\n"
                   f"Content-Length: {len(body)}\r\n\r\n").encode() + body
        try:
            status, headers, text = await asyncio.wait_for(self._exchange(request), TIMEOUT_S)
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
            self.close()
            return Answer(0, 0, {}, begun, self.clock(), what)
        app = 0
        for name, value in headers:
            if name == "x-app":
                app = int(value)
            elif name == "set-cookie" and cookies is None:
                self._keep(value)
        return Answer(status, app, _json(text), begun, self.clock(), what)

    def _keep(self, text):
        name, _, value = text.partition(";")[0].partition("=")
        if value and "Max-Age=0" not in text:
            self.cookies[name] = value
        else:
            self.cookies.pop(name, None)

    async def _exchange(self, request):
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")[:-2]
        headers = [(name.lower(), value.strip()) for name, _, value in
                   (line.partition(":") for line in lines)]
        length = int(dict(headers)["content-length"])
        return int(first.split(" ")[1]), headers, await self._reader.readexactly(length)

    def close(self):
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


def _json(text):
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
