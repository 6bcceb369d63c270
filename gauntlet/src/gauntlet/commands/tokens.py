"""`gauntlet token create`, `list` and `revoke`: who may call the services with AUTH=tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gauntlet.errors import CliError
from gauntlet.options import DEFAULT_DATA_DIR, DataDir, Json
from gauntlet.output import console, local_time, notes, print_json, print_listing

if TYPE_CHECKING:
    from chassis.auth.token_file import Token

app = typer.Typer(no_args_is_help=True, help="Tokens of people and programs, for services with AUTH=tokens.")

TokensFile = Annotated[
    Path | None,
    typer.Option(
        "--file",
        envvar="AUTH_TOKENS_FILE",
        metavar="FILE",
        dir_okay=False,
        help="The services' AUTH_TOKENS_FILE; default: tokens.json in the data directory.",
    ),
]
COLUMNS = {"id": "id", "name": "name", "roles": "roles", "models": "models", "created": "created", "expires": "expires"}


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is: the actor of what they decide.")],
    role: Annotated[
        list[str],
        typer.Option(
            "--role",
            metavar="ROLE",
            help="client, viewer, operator, approver or admin; may be given again.",
        ),
    ],
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
    as_json: Json = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Make a token and print it, once: no file holds it, only its hash. Running services accept it at once."""
    from chassis.auth.token_file import new_token

    now = datetime.now(UTC)
    until = None if expires is None else now + _duration(expires)
    with _changing(file, data_dir) as tokens:
        made = new_token(name, [_role(each) for each in role], models or ["*"], now, until)
        same = sum(token.name == name for token in tokens.values())
        tokens[made.token.id] = made.token
    if as_json:
        print_json({**_shown(made.token), "token": made.text})
        return
    print(made.text)
    said = f"This is the only time it is shown. gauntlet token revoke {made.token.id} ends it"
    if same:
        said += f"; {name} has {same} other token{'s' if same > 1 else ''}, valid as before"
    notes().print(f"{said}.", markup=False, soft_wrap=True)


@app.command("list")
def listing(file: TokensFile = None, as_json: Json = False, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Show the tokens: names, roles, models and ends; never the tokens themselves."""
    from chassis.auth.token_file import read_tokens

    path = _path(file, data_dir)
    with _errors():
        tokens = sorted(read_tokens(path).values(), key=lambda token: token.created) if path.exists() else []
    shown = [_shown(token) for token in tokens]
    if not as_json:
        now = datetime.now(UTC)
        for each, token in zip(shown, tokens, strict=True):
            each |= {"roles": ", ".join(each["roles"]), "models": ", ".join(each["models"])}
            each["created"] = local_time(each["created"])
            each["expires"] = "never" if token.expires is None else local_time(each["expires"])
            each["expires"] += " (over)" if token.expired(now) else ""
    print_listing(shown, COLUMNS, as_json=as_json, empty=f"{path} has no token; gauntlet token create makes one")


@app.command("revoke")
def revoke(
    what: Annotated[str, typer.Argument(metavar="NAME|ID", help="All tokens of a name, or the one with this id.")],
    file: TokensFile = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """End tokens: running services refuse them at once."""
    path = _path(file, data_dir)
    if not path.exists():
        raise CliError(f"{path} does not exist: there is no token to revoke", "Name another file with --file.")
    with _changing(file, data_dir) as tokens:
        ended = [token for token in tokens.values() if what in (token.name, token.id)]
        if not ended:
            raise CliError(f"{path} has no token {what!r}", "gauntlet token list shows names and ids.")
        for token in ended:
            del tokens[token.id]
    for token in ended:
        console().print(f"{token.id} of {token.name} is revoked", markup=False, soft_wrap=True)


def _path(file: Path | None, data_dir: Path) -> Path:
    from chassis.auth.token_file import FILE_NAME

    return file or data_dir / FILE_NAME


@contextmanager
def _changing(file: Path | None, data_dir: Path) -> Iterator[dict[str, Token]]:
    from chassis.auth.token_file import changing_tokens

    with _errors(), changing_tokens(_path(file, data_dir)) as tokens:
        yield tokens


@contextmanager
def _errors() -> Iterator[None]:
    from chassis.errors import Permanent

    try:
        yield
    except Permanent as error:
        raise CliError(str(error)) from error


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


def _shown(token: Token) -> dict[str, Any]:
    return token.model_dump(mode="json", exclude={"salt", "hash"})
