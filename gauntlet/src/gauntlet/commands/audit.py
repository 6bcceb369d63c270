"""`gauntlet audit NAME` and `audit verify`: the audit trail, and the check of its integrity."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from gauntlet.errors import CliError
from gauntlet.options import (
    DEFAULT_DATA_DIR,
    DataDir,
    GatekeeperUrl,
    Json,
    KafkaServers,
    Limit,
    ModelName,
    TrustedKeys,
)
from gauntlet.output import console, local_time, notes, print_json, print_listing

if TYPE_CHECKING:
    from gauntlet.service_client import ServiceClient

VERIFY_SECONDS = 600.0


class NameOrCommand(TyperGroup):
    """`audit NAME` is `audit show NAME`; only a model that is called like one of the commands needs the word."""

    default = "show"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, "--help"):
            args = [self.default, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=NameOrCommand, help="Who did what, when and why (audit NAME), and whether that was tampered with."
)


@app.command()
def show(
    name: ModelName,
    limit: Limit = 50,
    as_json: Json = False,
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List who did what to a model, and why, newest first. `audit NAME` is enough."""
    from gauntlet.arguments import model_name
    from gauntlet.service_client import gatekeeper_client

    client = gatekeeper_client(gatekeeper, data_dir)
    found = client.get("/audit", model=model_name(name), limit=limit)
    rows = found if as_json else [{**row, "at": local_time(row["at"])} for row in found]
    headings = {"at": "when", "actor": "who", "action": "what", "model_version": "version", "reason": "why"}
    print_listing(rows, headings, as_json=as_json, empty=f"nothing was done to {name} yet")


@app.command()
def verify(
    head: Annotated[
        str | None,
        typer.Option("--head", metavar="DIGEST", help="A head that was noted before: is it still in the chain?"),
    ] = None,
    heads: Annotated[bool, typer.Option("--heads", help="Compare with the signed heads on the topic.")] = False,
    heads_file: Annotated[
        Path | None,
        typer.Option(
            "--heads-file", metavar="FILE", exists=True, dir_okay=False, help="Compare with signed heads that you kept."
        ),
    ] = None,
    kept: Annotated[
        Path | None,
        typer.Option(
            "--kept",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Compare row by row with an earlier export; it needs no heads.",
        ),
    ] = None,
    keys: TrustedKeys = None,
    as_json: Json = False,
    gatekeeper: GatekeeperUrl = None,
    kafka: KafkaServers = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Follow the trail's chain of digests, of all models: exit 1 at a changed, missing, reordered or added row.

    Who can write the database can write the whole trail anew. With --heads or --heads-file, it is compared with heads
    that the gatekeeper has signed: the rows are named among which the first was changed. With --kept, that row is.
    """
    if not (heads or heads_file or kept):
        _verify_chain(head, as_json, gatekeeper, data_dir)
        return
    from gauntlet import audit_trail

    if head is not None:
        raise CliError("--head is for a digest that you noted, without --heads, --heads-file and --kept")
    records = audit_trail.heads_on_topic(data_dir, kafka) if heads else []
    records += audit_trail.kept_heads(heads_file) if heads_file else []
    found = audit_trail.verified(_patient(gatekeeper, data_dir), records, keys, kept)
    if as_json:
        print_json(found)
    fault = audit_trail.fault_of(found)
    if fault is not None and (heads or heads_file or found["broken"] or found["differs"]):
        raise fault
    if not as_json:
        _print_proof(found, is_signed=keys is not None, kept=kept)


def _print_proof(found: Mapping[str, Any], *, is_signed: bool, kept: Path | None) -> None:
    by_heads = found["heads"]
    console().print(f"{found['rows']:,} rows are linked; head {found['digest']}", markup=False, soft_wrap=True)
    if by_heads["heads"]:
        newest = by_heads["newest"]
        by = f"key {newest['key_id']}" if is_signed else "its signature was not verified: --keys DIR"
        console().print(
            f"{by_heads['heads']:,} signed heads are in it: {by_heads['proven']:,} rows are as they were written",
            soft_wrap=True,
        )
        console().print(f"the newest was signed at {local_time(newest['at'])} ({by})", markup=False, soft_wrap=True)
    if kept is not None:
        console().print(f"every row of {kept} is in it, unchanged", markup=False, soft_wrap=True)


@app.command()
def heads(
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="FILE", dir_okay=False, help="Add them to this file, which keeps those it has."
        ),
    ] = None,
    keys: TrustedKeys = None,
    as_json: Json = False,
    kafka: KafkaServers = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List the signed heads on the topic, and keep them in a file, where nobody can write who writes the trail.

    Exit 1 if the signature of one does not hold.
    """
    from gauntlet import audit_trail

    records = audit_trail.heads_on_topic(data_dir, kafka)
    if not records:
        raise CliError("there are no signed heads on the topic audit-heads", audit_trail.NO_HEADS)
    found = audit_trail.described(records, keys)
    refused = [each for each in found if each["problem"]]
    if output is None or as_json:
        shown = found if as_json else [{**each, "at": local_time(each["at"])} for each in found]
        headings = {"rows": "rows", "at": "signed", "digest": "digest", "key_id": "verified key", "problem": ""}
        print_listing(shown, headings, as_json=as_json)
    if output is not None:
        count, new = audit_trail.keep_heads(output, records)
        notes().print(f"{output} has {count:,} heads, {new:,} of them new", markup=False, soft_wrap=True)
    if refused:
        raise CliError(f"the head {refused[0]['name']} is not believed: {refused[0]['problem']}")


@app.command()
def export(
    output: Annotated[
        Path, typer.Option("--output", metavar="FILE", dir_okay=False, help="A new file, one row of JSON a line.")
    ],
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Write the whole trail to a file. Kept elsewhere, it names each row that was changed since (verify --kept)."""
    from gauntlet import audit_trail

    audit_trail.export_to(output, _patient(gatekeeper, data_dir))
    with output.open("rb") as file:
        rows = sum(1 for _ in file) - 1
    notes().print(f"{output} has {rows:,} rows", markup=False, soft_wrap=True)


def _patient(gatekeeper: str | None, data_dir: Path) -> ServiceClient:
    import httpx

    from gauntlet.service_client import gatekeeper_client

    return gatekeeper_client(gatekeeper, data_dir, httpx.Timeout(VERIFY_SECONDS, connect=3.0))


def _verify_chain(head: str | None, as_json: bool, gatekeeper: str | None, data_dir: Path) -> None:
    if head is not None and not re.fullmatch(r"sha256:[0-9a-f]{64}", head):
        raise CliError(
            f"{head!r} is no head of an audit trail", "A head is sha256: and 64 hex digits, as printed here."
        )
    proof = _patient(gatekeeper, data_dir).get("/audit/verify", head=head)
    broken, noted_at = proof["broken"], proof["noted_at"]
    if as_json:
        print_json(proof)
    if broken is not None:
        raise CliError(
            f"the audit trail is broken at row {broken['sequence']} ({broken['kind']}): {broken['what']}",
            f"{proof['rows']:,} rows before it are as they were written. Compare with a backup of the database.",
        )
    if head is not None and noted_at is None:
        raise CliError(
            f"the head {head} is not in the audit trail: what followed it was written anew",
            "The trail is consistent in itself, but it is not the one whose head was noted. Compare with a backup.",
        )
    if not as_json:
        console().print(f"{proof['rows']:,} rows are as they were written", soft_wrap=True)
        if head is not None:
            console().print(f"the head that was noted is row {noted_at:,}", soft_wrap=True)
        console().print(f"head {proof['digest']}", markup=False, soft_wrap=True)
