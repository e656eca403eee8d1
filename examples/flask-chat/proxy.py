#!/usr/bin/python3
"""A small HTTP proxy: the next request goes to the next app, whoever sends it.

  proxy.py [--listen 127.0.0.1:8000] [--affinity] APP...        APP is host:port

With --affinity a browser stays with the app that answered it first, by a cookie "node"; if that app
refuses the connection, the next one takes over. Each answer says in X-App which app it is from,
counted from 1. Requests are HTTP/1.1 with a Content-Length or no body; one connection to the app per
request.
"""

import argparse
import asyncio
import itertools
import re

HEAD_MOST = 64 * 1024
BODY_MOST = 1 << 20
ANSWER_S = 60
DROPPED = {b"connection", b"keep-alive", b"x-forwarded-for", b"x-app", b"expect"}


class BadRequest(Exception):
    pass


class Proxy:
    def __init__(self, apps, affinity):
        self.apps, self.affinity = apps, affinity
        self._next = itertools.cycle(range(len(apps)))

    async def serve(self, reader, writer):
        """One browser's connection."""
        try:
            while await self._exchange(reader, writer):
                pass
        except BadRequest:
            writer.write(answer(b"400 Bad Request"))
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.TimeoutError):
            pass  # the browser has left, or what it sends is no request
        finally:
            writer.close()

    async def _exchange(self, reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return False
        first, headers = parse(head)
        length = header(headers, b"content-length", b"0")
        if header(headers, b"transfer-encoding") or not length.isdigit() or int(length) > BODY_MOST:
            raise BadRequest
        body = await reader.readexactly(int(length))
        peer = writer.get_extra_info("peername")[0].encode()
        request = b"".join([
            first, b"\r\n", *(b"%s: %s\r\n" % h for h in headers if h[0].lower() not in DROPPED),
            b"X-Forwarded-For: ", peer, b"\r\nConnection: close\r\n\r\n", body])
        writer.write(await self._ask(request, node_of(headers) if self.affinity else None))
        await writer.drain()
        return header(headers, b"connection").lower() != b"close"

    async def _ask(self, request, node):
        """The answer of the app `node`, or of the next one whose turn it is."""
        for _ in self.apps:
            chosen = node if node is not None and node < len(self.apps) else next(self._next)
            try:
                reader, writer = await asyncio.open_connection(*self.apps[chosen])
            except OSError:
                node = None
                continue
            try:
                return await asyncio.wait_for(
                    self._pass_on(reader, writer, request, chosen, chosen != node), ANSWER_S)
            except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError, BadRequest):
                # It may have been carried out: nobody else is asked.
                return answer(b"502 Bad Gateway", chosen)
            finally:
                writer.close()
        return answer(b"503 Service Unavailable")

    async def _pass_on(self, reader, writer, request, chosen, is_new):
        writer.write(request)
        first, headers = parse(await reader.readuntil(b"\r\n\r\n"))
        length = header(headers, b"content-length")
        body = await (reader.readexactly(int(length)) if length else reader.read())
        kept = [h for h in headers if h[0].lower() not in DROPPED | {b"transfer-encoding"}]
        if not length:
            kept.append((b"Content-Length", b"%d" % len(body)))
        if self.affinity and is_new:
            kept.append((b"Set-Cookie", b"node=%d; Path=/; HttpOnly; SameSite=Lax" % (chosen + 1)))
        return b"".join([first, b"\r\n", *(b"%s: %s\r\n" % h for h in kept),
                         b"X-App: %d\r\n\r\n" % (chosen + 1), body])


def parse(head):
    first, *lines = head[:-4].split(b"\r\n")
    headers = [tuple(part.strip() for part in line.split(b":", 1)) for line in lines]
    if len(first.split(b" ")) < 3 or any(len(h) != 2 for h in headers):
        raise BadRequest
    return first, headers


def header(headers, name, default=b""):
    return next((value for key, value in headers if key.lower() == name), default)


def node_of(headers):
    found = re.search(rb"(?:^|;\s*)node=(\d{1,3})\b", header(headers, b"cookie"))
    return int(found[1]) - 1 if found and int(found[1]) > 0 else None


def answer(status, app=None):
    said = b"" if app is None else b"X-App: %d\r\n" % (app + 1)
    return b"HTTP/1.1 %s\r\n%sContent-Length: 0\r\n\r\n" % (status, said)


def address(text):
    host, _, port = text.rpartition(":")
    return host or "127.0.0.1", int(port)


async def run(args):
    proxy = Proxy(args.apps, args.affinity)
    server = await asyncio.start_server(proxy.serve, *args.listen, limit=HEAD_MOST, backlog=1024)
    async with server:
        await server.serve_forever()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--listen", type=address, default=("127.0.0.1", 8000))
    parser.add_argument("--affinity", action="store_true")
    parser.add_argument("apps", type=address, nargs="+")
    try:
        asyncio.run(run(parser.parse_args()))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
