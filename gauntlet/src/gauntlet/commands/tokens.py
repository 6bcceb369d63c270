"""`gauntlet token create`, `list` and `revoke`: who may call the services with AUTH=tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from gauntlet.errors import CliError
from gauntlet.options import DEFAULT_DATA_DIR, DataDir, Json
from gauntlet.output import console, local_time, notes, print_listing

app = typer.Typer(no_args_is_help=True, help="Tokens of people and programs, for services with AUTH=tokens.")

TokensFile = Annotated[
    Path | None,
    typer.Option(
        "--file",
        envvar="AUTH_TOKENS_FILE",
        metavar="FILE",
        dir_okay=False,
        help="The services' AUTH_TOKENS_FILE; default: tokens.yaml in the data directory.",
    ),
]
COLUMNS = {
    "name": "name",
    "subject": "subject",
    "roles": "roles",
    "models": "models",
    "created": "created",
    "ends": "ends",
}


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which token it is, such as ann-laptop.")],
    role: Annotated[
        list[str],
        typer.Option("--role", metavar="ROLE", help="client, viewer, operator, approver or admin; may be given again."),
    ],
    subject: Annotated[
        str | None,
        typer.Option("--subject", metavar="WHO", help="Whose it is: the actor of what they decide; default: NAME."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="DURATION", help="Until when, such as 90d; default: no end.")
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--models", metavar="GLOB", help="For these models only, such as 'flights-*'; may be given again."
        ),
    ] = None,
    file: TokensFile = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Make a token and print it, once: no file holds it, only its hash. Running services accept it seconds later."""
    from chassis.auth.tokens import create_token

    path = _path(file, data_dir)
    until = None if expires is None else datetime.now(UTC) + _duration(expires)
    roles = [_role(each) for each in role]
    with _errors():
        print(create_token(path, name, roles, subject=subject, models=models or ["*"], expires=until))
    said = f"This is the only time it is shown; {path} has its hash. gauntlet token revoke {name} ends it."
    notes().print(said, markup=False, soft_wrap=True)


@app.command("list")
def listing(file: TokensFile = None, as_json: Json = False, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Show the tokens: names, subjects, roles, models and ends; never the tokens themselves."""
    from chassis.auth.tokens import read_tokens

    path = _path(file, data_dir)
    with _errors():
        tokens = read_tokens(path)
    shown: list[dict[str, Any]] = [token.model_dump(mode="json", exclude={"salt", "hash"}) for token in tokens]
    if not as_json:
        for each in shown:
            each |= {"roles": ", ".join(each["roles"]), "models": ", ".join(each["models"]), "ends": _end(each)}
            each["created"] = local_time(each["created"])
    print_listing(shown, COLUMNS, as_json=as_json, empty=f"{path} has no token; gauntlet token create makes one")


@app.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which token; its entry stays, and ends it for good.")],
    file: TokensFile = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """End a token: running services refuse it seconds later."""
    from chassis.auth.tokens import revoke_token

    path = _path(file, data_dir)
    if not path.exists():
        raise CliError(f"{path} does not exist: there is no token to revoke", "Name another file with --file.")
    with _errors():
        ended = revoke_token(path, name)
    console().print(f"{ended.name} of {ended.subject} is revoked", markup=False, soft_wrap=True)


def _path(file: Path | None, data_dir: Path) -> Path:
    from chassis.auth.tokens import FILE_NAME

    return file or data_dir / FILE_NAME


@contextmanager
def _errors() -> Iterator[None]:
    from chassis.errors import Permanent

    try:
        yield
    except Permanent as error:
        raise CliError(str(error), "gauntlet token list shows the names.") from error


def _end(token: dict[str, Any]) -> str:
    if revoked := token.get("revoked"):
        return f"revoked {local_time(revoked)}"
    expires = token["expires"]
    if expires is None:
        return "never"
    over = datetime.fromisoformat(expires) <= datetime.now(UTC)
    return f"{'expired ' if over else ''}{local_time(expires)}"


def _role(text: str) -> Any:
    from chassis.auth.roles import Role

    try:
        return Role(text)
    except ValueError:
        raise CliError(f"--role {text!r} is no role", f"It is one of {', '.join(Role)}.") from None


def _duration(text: str) -> Any:
    from pydantic import TypeAdapter, ValidationError

    from contracts.durations import Duration

    try:
        length = TypeAdapter(Duration).validate_python(text)
    except ValidationError:
        length = None
    if length is None or length.total_seconds() <= 0:
        raise CliError(f"--expires {text!r} is not a duration above 0", "Such as 12h or 90d.")
    return length
