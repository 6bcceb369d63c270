"""Bodies below the limit of size that a naive reader turns into hours of computing or into all memory."""

from __future__ import annotations

from collections.abc import Callable

JSON, CSV = b"application/json", b"text/csv"


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


BOMBS: dict[str, tuple[str, bytes, Callable[[], bytes]]] = {
    # protocol, content type, body
    "a shape of thousands of dimensions": (
        "infer",
        JSON,
        lambda: (
            b'{"inputs":[{"name":"a","shape":[%s1],"datatype":"FP64","data":[1]}]}'
            % (b"9000000000000000000," * 800_000)
        ),
    ),
    "one deep list beside many values": (
        "infer",
        JSON,
        lambda: (
            b'{"inputs":[{"name":"a","shape":[1],"datatype":"FP64","data":[%s%s]}]}' % (nested(900), b",1" * 2_000_000)
        ),
    ),
    "a tensor of millions of rows": (
        "infer",
        JSON,
        lambda: (
            b'{"inputs":[{"name":"distance","shape":[5000000],"datatype":"FP64","data":[1%s]}]}' % (b",1" * 4_999_999)
        ),
    ),
    "a name of megabytes": (
        "infer",
        JSON,
        lambda: b'{"inputs":[{"name":"%s","shape":[2],"datatype":"FP64","data":[1]}]}' % (b"a" * 4_000_000),
    ),
    "a row of unknown fields": (
        "predict",
        JSON,
        lambda: b'{"rows":[{%s}]}' % b",".join(b'"distanse%d":1' % number for number in range(500_000)),
    ),
    "millions of empty objects": ("predict", JSON, lambda: b'{"rows":[{}%s]}' % (b",{}" * 2_000_000)),
    "records that share no field": (
        "invocations",
        JSON,
        lambda: b'{"dataframe_records":[%s]}' % b",".join(b'{"%d":1}' % number for number in range(100_000)),
    ),
    "one row that is long among many that are short": (
        "invocations",
        JSON,
        lambda: b'{"dataframe_split":{"data":[[1%s]%s]}}' % (b",1" * 200_000, b",[]" * 200_000),
    ),
    "an index and columns without data": (
        "invocations",
        JSON,
        lambda: b'{"dataframe_split":{"data":0,"index":[0%s],"columns":[0%s]}}' % (b",0" * 200_000, b",0" * 200_000),
    ),
    "columns of objects that share no key": (
        "invocations",
        JSON,
        lambda: b'{"dataframe_split":{"data":{%s}}}' % b",".join(b'"%d":{"%d":1}' % (n, n) for n in range(100_000)),
    ),
    "a table of many columns and many empty lines": (
        "invocations",
        CSV,
        lambda: b"a%s%s" % (b",a" * 200_000, b"\n," * 200_000),
    ),
}
