"""Which URIs an event may name: the table of cases, and that no spelling of a foreign one gets through."""

from __future__ import annotations

import itertools
from urllib.parse import quote

import pytest

from chassis.uris import SETTING, parse, prefixes_of, problem_of

MLFLOW = "http://mlflow.example:5000"
LISTED = prefixes_of(
    "s3://bucket/team/, file:///data/golden, abfss://rows@account.example/gold, mlflow-artifacts://other:1/"
)

ALLOWED = [
    "models:/m-0123456789abcdef",
    "models:/flights-delay/3",
    "models:/flights delay/3/data/model.pkl",
    "runs:/0123abcd/datasets/golden.parquet",
    "runs:/0123abcd/model",
    "mlflow-artifacts:/0/0123abcd/artifacts/model",
    "mlflow-artifacts://mlflow.example:5000/0/0123abcd/artifacts/model",
    "mlflow-artifacts://other:1/0/model",
    "s3://bucket/team",
    "s3://bucket/team/june.parquet",
    "s3://bucket/team/may%20and%20june.parquet",
    "s3://bucket/team/100%.parquet",
    "file:///data/golden/june.parquet",
    "file://localhost/data/golden/june.parquet",
    "file:/data/golden/june.parquet",
    "/data/golden/june.parquet",
    "/data/golden/may and june.parquet",
    "abfss://rows@account.example/gold/june.parquet",
]

REFUSED = {
    "": "empty",
    " runs:/r/model": "spaces around it",
    "runs:/r/model\n": "spaces around it",
    "runs:/r/mo\ndel": "the character",
    "runs:/" + "r" * 5000: "too long",
    "/etc/passwd": f"it is a file outside the registry and below no prefix in {SETTING}",
    "file:///etc/passwd": f"it is a file outside the registry and below no prefix in {SETTING}",
    "file:/etc/passwd": "it is a file outside",
    "file://localhost/etc/passwd": "it is a file outside",
    "FILE:///etc/passwd": "not in lower case",
    "RUNS:/r/model": "not in lower case",
    "file://host/share/rows": "another machine",
    "//host/share/rows": "another machine",
    "golden.parquet": "relative path",
    "file:golden.parquet": "relative path",
    "C:\\rows.parquet": "the character",
    "http://169.254.0.1/latest": "a http: address",
    "https://example.com/rows.parquet": "a https: address",
    "ftp://example.com/rows": "a ftp: address",
    "s3://bucket-evil/team/rows": "a s3: address",
    "s3://bucket/team-evil/rows": "a s3: address",
    "s3://bucket/teams": "a s3: address",
    "s3://bucket//team/rows": "a s3: address",
    "s3://bucket/": "a s3: address",
    "s3://bucket": "a s3: address",
    "s3://Bucket/team/rows": "a s3: address",
    "s3://user:secret@bucket/team/rows": "a s3: address",
    "s3://bucket@evil/team/rows": "a s3: address",
    "s3://bucket:443/team/rows": "a s3: address",
    "s3://bucket/te%61m/rows": "a s3: address",
    "s3:///bucket/team/rows": "a s3: address",
    "s3n://bucket/team/rows": "a s3n: address",
    "s3://bucket/team/../other/rows": "'..'",
    "s3://bucket/team/./rows": "'..'",
    "s3://bucket/team/%2e%2e/other": "'..'",
    "s3://bucket/team/%2E./other": "'..'",
    "s3://bucket/team/%252e%252e/other": "'..'",
    "s3://bucket/team%2f..%2fother": "'..'",
    "s3://bucket/team/..%2fother": "'..'",
    "s3://bucket/team/%5c..%5cother": "percent-encoding",
    "s3://bucket/team/rows%00.parquet": "percent-encoding",
    "s3://bucket/team/rows%3f.parquet": "percent-encoding",
    "s3://bucket/team/rows?versionId=1": "the character '?'",
    "s3://bucket/team/rows#x": "the character '#'",
    "file:///data/golden/../../etc/passwd": "'..'",
    "file:///data/golden/%2e%2e/secret": "'..'",
    "file:///data/golden-evil/rows": "it is a file outside",
    "file:///data/goldenrows": "it is a file outside",
    "/data/golden/link;x": "the character ';'",
    "file:///data/golden/.ssh/id_ed25519": "it is a file outside",
    "file:///data/golden/a/.env": "it is a file outside",
    "abfss://other@account.example/gold/rows": "a abfss: address",
    "mlflow-artifacts://evil:5000/0/r/artifacts/model": "it names the server 'evil:5000', not the one of MLFLOW_",
    "mlflow-artifacts://mlflow.example:5000@evil/0/model": "it names the server",
    "mlflow-artifacts:/../../etc/passwd": "'..'",
    "mlflow-artifacts:": "it names nothing",
    "runs:": "it names nothing",
    "runs:/": "it names nothing",
    "models:/": "it names nothing",
    "runs://profile@databricks/r/model": "it names the server",
    "runs:/r/../../x": "'..'",
    "runs:/r/%2e%2e/x": "'..'",
    "models://scope:key@databricks/m/1": "it names the server",
    "models:/m@champion": "another one tomorrow",
    "models:/m/latest": "another one tomorrow",
    "models:/m/Production": "another one tomorrow",
    "models:/m/../2": "'..'",
    "data:text/plain,x": "a data: address",
}


@pytest.mark.parametrize("uri", ALLOWED)
def test_addresses_of_the_registry_and_below_listed_prefixes_may_be_named(uri: str) -> None:
    assert problem_of(uri, LISTED, MLFLOW) is None


@pytest.mark.parametrize(("uri", "why"), REFUSED.items(), ids=lambda text: text[:40])
def test_every_other_address_is_refused_with_the_reason(uri: str, why: str) -> None:
    problem = problem_of(uri, LISTED, MLFLOW)
    assert problem is not None
    assert problem.startswith(repr(uri)[:200]) and why in problem, problem


def test_without_prefixes_the_registry_alone_may_be_named() -> None:
    for uri in ALLOWED:
        of_registry = uri.startswith(("models:/", "runs:/", "mlflow-artifacts:/0", "mlflow-artifacts://mlflow"))
        assert (problem_of(uri, (), MLFLOW) is None) == of_registry, uri
    assert problem_of("mlflow-artifacts://mlflow.example:5000/0", (), "sqlite:///mlflow.db") is not None


def test_no_way_of_encoding_a_step_upwards_gets_below_a_prefix() -> None:
    """All spellings of '..' with each character plain, encoded, encoded twice or three times."""

    def spellings(text: str) -> list[str]:
        ways = [[one, *itertools.accumulate(range(3), lambda made, _: made.replace("%", "%25"), initial=code)]
                for one in text for code in [f"%{ord(one):02x}"]]  # fmt: skip
        return ["".join(each) for each in itertools.product(*ways)]

    for step in spellings("/../"):
        for start in ("s3://bucket/team", "file:///data/golden", "/data/golden"):
            assert problem_of(f"{start}{step}other", LISTED, MLFLOW) is not None, step


def test_a_name_is_quoted_once_by_those_who_quote_and_still_found() -> None:
    assert parse(f"file://{quote('/data/golden/50 % off.parquet')}").path == "/data/golden/50 % off.parquet"


@pytest.mark.parametrize(
    ("text", "why"),
    {
        ",": "the prefix '' cannot be used",
        "s3://bucket/,": "the prefix '' cannot be used",
        "s3://bucket/,,file:///data": "the prefix '' cannot be used",
        "/": "the whole file system",
        "file:///": "the whole file system",
        "file:////": "the whole file system",
        "s3://": "names no bucket",
        "s3:": "names no bucket",
        "s3:/bucket": "names no bucket",
        "data/golden": "relative path",
        "~/golden": "relative path",
        "file:///data/../": "'..'",
        "runs:/": "always allowed",
        "models:": "always allowed",
        "*": "relative path",
    }.items(),
)
def test_a_prefix_that_would_allow_everything_or_nothing_ends_the_start(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=SETTING) as caught:
        prefixes_of(text)
    assert why in str(caught.value)


def test_no_prefixes_are_none() -> None:
    assert prefixes_of("") == prefixes_of("  ") == ()


def test_a_prefix_may_be_a_whole_bucket() -> None:
    assert problem_of("s3://bucket/a/b", prefixes_of("s3://bucket")) is None
    assert problem_of("s3://bucket-evil/a", prefixes_of("s3://bucket")) is not None
