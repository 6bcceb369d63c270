"""`gauntlet audit NAME` and `audit verify`: the audit trail, and the check of its integrity."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gauntlet.errors import CliError
from gauntlet.options import DEFAULT_DATA_DIR, DataDir, GatekeeperUrl, Json, Limit, ModelName
from gauntlet.output import console, local_time, print_json, print_listing

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
    as_json: Json = False,
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Follow the trail's chain of digests, of all models: exit 1 at a changed, missing, reordered or added row.

    Who can write the database can write the whole trail anew: note the head where they cannot, and ask with --head.
    """
    import httpx

    from gauntlet.service_client import gatekeeper_client

    if head is not None and not re.fullmatch(r"sha256:[0-9a-f]{64}", head):
        raise CliError(
            f"{head!r} is no head of an audit trail", "A head is sha256: and 64 hex digits, as printed here."
        )
    patient = httpx.Timeout(VERIFY_SECONDS, connect=3.0)
    client = gatekeeper_client(gatekeeper, data_dir, patient)
    proof = client.get("/audit/verify", head=head)
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
