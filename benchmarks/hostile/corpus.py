"""Hostile requests, as bytes: each class is a generator of its own, and the same seed gives the same requests."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from random import Random

from support.bombs import BOMBS, nested

MODEL = "benchmark"
COLUMNS = [f"f{number}" for number in range(20)]
PATHS = {
    "predict": f"/models/{MODEL}/predict",
    "invocations": f"/models/{MODEL}/invocations",
    "infer": f"/v2/models/{MODEL}/infer",
    "feedback": f"/models/{MODEL}/feedback",
}
MEGABYTE = 1_000_000
CHUNK = b" " * MEGABYTE


@dataclass(frozen=True)
class Case:
    """`replies`: how many are waited for; 0 for who hangs up at once. `pause`: seconds before each further piece."""

    pieces: Iterable[bytes]
    replies: int = 1
    pause: float = 0.0
    keeps: bool = True
    """Whether the connection may be used again afterwards."""


def case(*pieces: bytes, **options: object) -> Case:
    return Case(pieces, **options)  # type: ignore[arg-type]


def post(path: str, body: bytes, kind: bytes = b"application/json", *headers: tuple[bytes, bytes]) -> bytes:
    lines = [b"POST %s HTTP/1.1" % path.encode(), b"Host: x", b"Content-Length: %d" % len(body)]
    lines += [b"Content-Type: " + kind] if kind else []
    return b"\r\n".join([*lines, *(b"%s: %s" % header for header in headers), b"", body])


def good() -> bytes:
    return b'{"rows":[%s]}' % row(Random(0), [b"0.5"])


def row(random: Random, texts: list[bytes]) -> bytes:
    """An object of the model's columns; the values are JSON, or nearly."""
    return b"{%s}" % b",".join(b'"%s":%s' % (name.encode(), random.choice(texts)) for name in COLUMNS)


def in_some_form(random: Random, texts: list[bytes]) -> bytes:
    """A request of one of the protocols, with the texts in the places of values."""
    protocol, a_row = random.choice(list(PATHS)), row(random, texts)
    some = random.choice(texts)
    if protocol == "predict":
        body = random.choice(
            [b'{"rows":[%s]}' % a_row, b'{"rows":%s}' % some, b'{"rows":[%s],"model":%s}' % (a_row, some)]
        )
    elif protocol == "invocations":
        values = b",".join(random.choice(texts) for _ in COLUMNS)
        names = b",".join(b'"%s"' % name.encode() for name in COLUMNS)
        body = random.choice(
            [
                b'{"dataframe_records":[%s]}' % a_row,
                b'{"instances":[%s]}' % a_row,
                b'{"inputs":%s}' % a_row,
                b'{"dataframe_split":{"columns":[%s],"data":[[%s]]}}' % (names, values),
                b'{"dataframe_records":[%s],"params":%s}' % (a_row, some),
                b'{"inputs":%s}' % some,
            ]
        )
    elif protocol == "infer":
        shape, size = random.choice([(b"[1]", b"null"), (b"[1]", some), (some, b"null")])
        inputs = b",".join(
            b'{"name":"%s","shape":%s,"datatype":"FP64","data":[%s],"parameters":{"binary_data_size":%s}}'
            % (name.encode(), shape, random.choice(texts), size)
            for name in COLUMNS
        )
        body = b'{"id":%s,"inputs":[%s],"outputs":%s}' % (some, inputs, random.choice([b"null", some]))
    else:
        item = b'{"request_id":%s,"row":%s,"label":%s,"event_time":%s}' % tuple(random.choice(texts) for _ in range(4))
        body = random.choice([b'{"items":[%s]}' % item, item, b'{"items":%s}' % some])
    return post(PATHS[protocol], body)


NUMBERS = [
    *(
        b"0.5",
        b"1",
        b"-0",
        b"1e308",
        b"-1e308",
        b"1e309",
        b"1e-400",
        b"NaN",
        b"-Infinity",
        b"0x1F",
        b"01",
        b"1.",
        b".5",
    ),
    *(b"9" * 20, b"9" * 400, b"-" + b"9" * 5000, b"1" + b"0" * 20_000, b"0." + b"3" * 5000, b"1e" + b"9" * 50),
    *(b"9223372036854775807", b"9223372036854775808", b"18446744073709551616", b"4e38", b"1E+2147483648", b"--1"),
]
VALUES = [
    *(b"0.5", b"null", b"true", b'""', b'"x"', b"[]", b"{}", b'[1,"a"]', b'{"a":{"b":[]}}', b'"0.5"', b'"NaN"'),
    *(
        b'"%s"' % (b"x" * 20_000),
        b'"\\u0000"',
        b'"2013-06-01"',
        b'"\xf0\x9f\x92\xa9"',
        b"undefined",
        b"'a'",
        b"//",
        b'"\\x"',
    ),
]


def deep(random: Random) -> Case:
    depth = random.choice([30, 100, 500, 1000, 1024, 1025, 5000, 50_000])
    texts = [nested(depth), b'{"a":' * depth + b"1" + b"}" * depth, b"[" * depth, b"0.5"]
    return case(in_some_form(random, [random.choice(texts), b"0.5"]))


def numbers(random: Random) -> Case:
    return case(in_some_form(random, [random.choice(NUMBERS), random.choice(NUMBERS), b"0.5"]))


def values(random: Random) -> Case:
    return case(in_some_form(random, [random.choice(VALUES), random.choice(VALUES), b"0.5"]))


def encodings(random: Random) -> Case:
    text = good().decode()
    kinds = [
        b"application/json",
        b"application/json; charset=utf-16",
        b"text/csv",
        b"application/json;charset=\xff",
        b"",
    ]
    body = random.choice(
        [
            text.encode(random.choice(["utf-16", "utf-32", "utf-8-sig", "utf-7", "cp037"])),
            b'{"rows":[{"f0":"\xff\xfe"}]}',
            b'{"rows":[{"\\ud800":1}],"model":"\\udfff"}',
            b'{"dataframe_records":[{"\\ud800":"\\udfff"}]}',
            b"\x00" * random.randrange(2000),
            random.randbytes(random.randrange(2000)),
            gzip.compress(good()),
            bytes(byte ^ (random.random() < 0.02) for byte in good()),
        ]
    )
    encoding = random.choice([b"gzip", b"deflate", b"br", b"identity", b"\xff", b"x" * 3000])
    headers = [(b"Content-Encoding", encoding)] * random.randrange(2)
    return case(post(random.choice(list(PATHS.values())), body, random.choice(kinds), *headers))


def content_types(random: Random) -> Case:
    known = [
        b"text/csv",
        b"application/x-parquet",
        b"application/octet-stream",
        b"multipart/form-data; boundary=x",
        b"*/*",
    ]
    kind = random.choice(
        [*known, b"application/json; charset=" + b"x" * 500, b";;;=;", b"\xff", b"text/csv; a=b; charset"]
    )
    table = b"\n".join(
        b",".join([b'"', b"a", b"1e999", b"f0", b""][random.randrange(5)] for _ in range(9)) for _ in range(9)
    )
    body = random.choice([good(), table, b"PAR1" + random.randbytes(200) + b"PAR1", random.randbytes(100)])
    return case(post(random.choice([PATHS["invocations"], *PATHS.values()]), body, kind))


def tensors(random: Random) -> Case:
    binary = random.randbytes(random.randrange(200))
    size = random.choice([len(binary), -1, 2**40, len(binary) // 2])
    datatype = random.choice(["FP64", "FP16", "BOOL", "BYTES", "INT8", "UINT64", "x"]).encode()
    shape = random.choice([b"[1,20]", b"[0]", b"[1,0]", b"[9999999999,0]", b"[1]", b"[-1]", b"[1,1,1,1]", b"[]"])
    tensor = b'{"name":"x","shape":%s,"datatype":"%s","parameters":{"binary_data_size":%d}}' % (shape, datatype, size)
    header = b'{"inputs":[%s],"parameters":{"binary_data_output":true}}' % tensor
    if random.random() < 0.3:
        binary = struct.pack("<I", random.choice([0, 3, 2**32 - 1])) + binary
    length = random.choice([b"%d" % len(header), b"%d" % (len(header) + 5), b"0" * 5000, b"-1", b"1e3", b"9" * 30, b""])
    return case(
        post(PATHS["infer"], header + binary, b"application/octet-stream", (b"Inference-Header-Content-Length", length))
    )


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
    return case(head % (method, path.encode(), random.choice([b"x", b"[", b"]:x", b"\xff", b"a b"])), keeps=False)


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
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %s\r\n\r\n%s" % (path, random.choice(wrong), body)
    return case(head, replies=random.randrange(2) if head.endswith(body) else 0, pause=0, keeps=False)


def invalid_http(random: Random) -> Case:
    start = b"POST /predict HTTP/1.1\r\nHost: x\r\n"
    chunked = start + b"Transfer-Encoding: chunked\r\n\r\n"
    options = [
        random.randbytes(random.randrange(1, 3000)),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + random.randbytes(500),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET * HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n",
        start + b"Bad Header\x00: a\r\n\r\n",
        chunked + random.choice([b"zz\r\n", b"FFFFFFFFFFFFFFFFF\r\n", b"-1\r\n", b"5\r\nabc", b"1\r\nabc\r\n"]),
        bytes(byte ^ (random.random() < 0.02) * random.randrange(256) for byte in post("/predict", good())),
    ]
    return case(random.choice(options), replies=random.randrange(2), keeps=False)


def header_bombs(random: Random) -> Case:
    start = b"POST /predict HTTP/1.1\r\nHost: x\r\n"
    options = [
        start + b"".join(b"X-%d: y\r\n" % number for number in range(20_000)) + b"\r\n",
        start + b"X: " + b"a" * (5 * MEGABYTE) + b"\r\n\r\n",
        b"GET /" + b"a" * MEGABYTE + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        start + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n" + b"T: t\r\n" * 500_000 + b"\r\n",
        start + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"e" * (2 * MEGABYTE) + b"\r\na\r\n0\r\n\r\n",
        b"\r\n" * MEGABYTE,
    ]
    return case(random.choice(options), keeps=False)


def huge_bodies(random: Random) -> Case:
    megabytes, path = random.choice([15, 17, 50, 100]), random.choice(list(PATHS.values())).encode()
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" % path

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


CLASSES: dict[str, tuple[Callable[[Random], Case], int]] = {
    # of 100,000
    "deep JSON": (deep, 12_000),
    "huge numbers": (numbers, 20_000),
    "values of other types": (values, 22_000),
    "wrong encodings": (encodings, 10_000),
    "wrong content types": (content_types, 8_000),
    "binary tensors": (tensors, 8_000),
    "headers": (headers, 6_000),
    "methods, paths, hosts": (paths, 5_000),
    "pipelined (requests of 2 to 19)": (pipelined, 300),
    "half requests": (halves, 3_000),
    "wrong lengths": (lengths, 2_000),
    "invalid HTTP": (invalid_http, 3_500),
    "header bombs": (header_bombs, 60),
    "bodies of 15 to 100 MB": (huge_bodies, 48),
    "bombs": (bombs, 66),
    "slow clients": (slow, 128),
}
