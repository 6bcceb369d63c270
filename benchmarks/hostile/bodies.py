"""Hostile bodies in requests that are valid HTTP."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from support.bombs import nested

MODEL = "benchmark"
COLUMNS = [f"f{number}" for number in range(20)]
PATHS = {
    "predict": f"/models/{MODEL}/predict",
    "invocations": f"/models/{MODEL}/invocations",
    "infer": f"/v2/models/{MODEL}/infer",
    "feedback": f"/models/{MODEL}/feedback",
}


@dataclass(frozen=True)
class Case:
    """`replies`: how many to wait for; 0 to close the connection at once. `pause`: seconds before each next piece."""

    pieces: Iterable[bytes]
    replies: int = 1
    pause: float = 0.0
    keeps: bool = True
    """Whether the connection may be used again afterwards."""


def case(*pieces: bytes, **options: object) -> Case:
    return Case(pieces, **options)  # type: ignore[arg-type]


def post(path: str, body: bytes, kind: bytes = b"application/json", *headers: tuple[bytes, bytes]) -> bytes:
    lines = [b"POST %s HTTP/1.1" % path.encode(), b"Host: localhost", b"Content-Length: %d" % len(body)]
    lines += [b"Content-Type: " + kind] if kind else []
    return b"\r\n".join([*lines, *(b"%s: %s" % header for header in headers), b"", body])


def good() -> bytes:
    return b'{"rows":[%s]}' % row(Random(0), [b"0.5"])


def row(random: Random, texts: list[bytes]) -> bytes:
    """Build an object of the model's columns; the values are JSON, or nearly."""
    return b"{%s}" % b",".join(b'"%s":%s' % (name.encode(), random.choice(texts)) for name in COLUMNS)


def in_some_form(random: Random, texts: list[bytes]) -> bytes:
    """Build a request of one of the protocols, with the texts as values."""
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
