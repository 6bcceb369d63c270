"""Hostile use of HTTP itself: headers, lengths, sizes, speed."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from benchmarks.hostile.bodies import MODEL, PATHS, VALUES, Case, case, good, in_some_form, post

from support.bombs import BOMBS

MEGABYTE = 1_000_000
CHUNK = b" " * MEGABYTE


def headers(random: Random) -> Case:
    names = [
        b"X-Request-ID",
        b"Accept",
        b"Host",
        b"Content-Encoding",
        b"Connection",
        b"Upgrade",
        b"Expect",
        b"Range",
        b"Cookie",
    ]
    texts = [
        b"",
        b"[",
        b"\xff" * 50,
        b"x" * 8000,
        b"keep-alive, upgrade",
        b"websocket",
        b"h2c",
        b"100-continue",
        b"bytes=0-",
        b"\t",
    ]
    given = [(random.choice(names), random.choice(texts)) for _ in range(random.randrange(1, 9))]
    return case(post(random.choice(list(PATHS.values())), good(), b"application/json", *given), keeps=False)


def paths(random: Random) -> Case:
    words = [
        "models",
        "v2",
        "predict",
        "infer",
        MODEL,
        "%00",
        "%ff",
        "..",
        "%2f",
        "",
        "x" * 2000,
        "versions",
        "1",
        "%F0%9F",
    ]
    words += ["ready", "openapi.json", "docs", "health", "invocations", "feedback", "ping", "é", "%ED%A0%80"]
    path = (
        "/"
        + "/".join(random.choice(words) for _ in range(random.randrange(1, 6)))
        + random.choice(["", "/", "?a=[", "#"])
    )
    method = random.choice(["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "QUERY"]).encode()
    head = b"%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 2\r\n\r\n{}"
    return case(
        head
        % (method, path.encode(), random.choice([b"localhost", b"localhost", b"x", b"[", b"]:x", b"\xff", b"a b"])),
        keeps=False,
    )


def pipelined(random: Random) -> Case:
    count = random.randrange(2, 20)
    return case(b"".join(in_some_form(random, [random.choice(VALUES), b"0.5"]) for _ in range(count)), replies=count)


def halves(random: Random) -> Case:
    whole = post(random.choice(list(PATHS.values())), random.choice([good(), b" " * 300_000]))
    return case(whole[: random.randrange(1, len(whole))], replies=0)


def lengths(random: Random) -> Case:
    path, body = random.choice(list(PATHS.values())).encode(), good()
    wrong = [
        b"-1",
        b"9" * 30,
        b"0x10",
        b"1,1",
        b"",
        b"%d" % (len(body) - 5),
        b"%d" % (len(body) + 5),
        b"5\r\nContent-Length: 6",
    ]
    wrong += [b"5\r\nTransfer-Encoding: chunked", b"%d" % (17 * MEGABYTE)]
    head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %s\r\n\r\n%s" % (path, random.choice(wrong), body)
    return case(head, replies=random.randrange(2) if head.endswith(body) else 0, pause=0, keeps=False)


def invalid_http(random: Random) -> Case:
    start = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"
    chunked = start + b"Transfer-Encoding: chunked\r\n\r\n"
    options = [
        random.randbytes(random.randrange(1, 3000)),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + random.randbytes(500),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET * HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        start + b"Bad Header\x00: a\r\n\r\n",
        chunked + random.choice([b"zz\r\n", b"FFFFFFFFFFFFFFFFF\r\n", b"-1\r\n", b"5\r\nabc", b"1\r\nabc\r\n"]),
        bytes(byte ^ (random.random() < 0.02) * random.randrange(256) for byte in post("/predict", good())),
    ]
    return case(random.choice(options), replies=random.randrange(2), keeps=False)


def header_bombs(random: Random) -> Case:
    start = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"
    options = [
        start + b"".join(b"X-%d: y\r\n" % number for number in range(20_000)) + b"\r\n",
        start + b"X: " + b"a" * (5 * MEGABYTE) + b"\r\n\r\n",
        b"GET /" + b"a" * MEGABYTE + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        start + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n" + b"T: t\r\n" * 500_000 + b"\r\n",
        start + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"e" * (2 * MEGABYTE) + b"\r\na\r\n0\r\n\r\n",
        b"\r\n" * MEGABYTE,
    ]
    return case(random.choice(options), keeps=False)


def huge_bodies(random: Random) -> Case:
    megabytes, path = random.choice([15, 17, 50, 100]), random.choice(list(PATHS.values())).encode()
    head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" % path

    def pieces() -> Iterator[bytes]:
        if random.random() < 0.5:
            yield head + b"Content-Length: %d\r\n\r\n" % (megabytes * MEGABYTE)
            yield from (CHUNK for _ in range(megabytes))
        else:
            yield head + b"Transfer-Encoding: chunked\r\n\r\n"
            yield from (b"%x\r\n%s\r\n" % (MEGABYTE, CHUNK) for _ in range(megabytes))
            yield b"0\r\n\r\n"

    return Case(pieces(), keeps=False)


def bombs(random: Random) -> Case:
    protocol, kind, body = random.choice(list(BOMBS.values()))
    return case(post(PATHS[protocol], body(), kind))


def slow(random: Random) -> Case:
    whole = post(random.choice(list(PATHS.values())), good() + b" " * 200_000)
    start = random.choice([0, 1, 20, whole.index(b"\r\n\r\n") + 4, len(whole) - 100_000])
    drops = (whole[at : at + 1] for at in range(start, len(whole)))

    def pieces() -> Iterator[bytes]:
        yield whole[:start]
        yield from drops

    return Case(pieces(), pause=0.5, keeps=False)
