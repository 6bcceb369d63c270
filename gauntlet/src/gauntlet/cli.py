"""The command line's root: every command is registered here, and every failure is printed here."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import typer
from rich.markup import escape

from gauntlet.commands import (
    acls,
    advisories,
    audit,
    backtest,
    benchmarks,
    dead_letters,
    decisions,
    demo,
    doctor,
    drift,
    dry_run,
    events,
    evidence,
    golden,
    keys,
    login,
    models,
    notifications,
    policies,
    predict,
    register,
    replay,
    rollouts,
    stack,
    stories,
    tokens,
    topic_records,
    topics,
    train,
    wait,
)
from gauntlet.credentials import take_from_environment
from gauntlet.errors import CliError
from gauntlet.output import notes

app = typer.Typer(
    name="gauntlet",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

# One line a command: `app.command("name")(module.function)`; groups with `app.add_typer(module.app, name="…")`.
# Command modules import heavy libraries (mlflow, pandas, kafka) inside their functions, so that --help stays fast.


@app.callback()
def _root() -> None:
    """Promotes machine-learning models on evidence."""


app.command("up")(stack.up)
app.command("down")(stack.down)
app.command("status")(stack.status)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("topics")(topics.topics)
app.command("verify-topic")(topic_records.verify)
app.command("acls")(acls.acls)
app.command("register")(register.register)
app.command("try")(dry_run.try_version)
app.command("wait")(wait.wait)
app.command("train")(train.train)
app.command("models")(models.models)
app.command("candidates")(models.candidates)
app.command("show")(models.show)
app.command("replay")(replay.replay)
app.command("what-if")(replay.what_if)
app.command("training-keys")(golden.keys)
app.command("rollouts")(rollouts.rollouts)
app.command("fleet")(rollouts.fleet)
app.command("approve")(rollouts.approve)
app.command("refuse")(rollouts.refuse)
app.command("abort")(rollouts.abort)
app.command("promote")(decisions.promote)
app.command("rollback")(decisions.rollback)
app.command("freeze")(decisions.freeze)
app.command("unfreeze")(decisions.unfreeze)
app.command("story")(stories.story)
app.command("stories")(stories.latest)
app.command("drift")(drift.drift)
app.command("predict")(predict.predict)
app.command("login")(login.login)
app.command("logout")(login.logout)
app.command("whoami")(login.whoami)
app.command("backtest")(backtest.backtest)
app.command("benchmark")(benchmarks.benchmark)
app.add_typer(advisories.app, name="advisories")
app.add_typer(audit.app, name="audit")
app.add_typer(benchmarks.app, name="benchmarks")
app.add_typer(events.app, name="events")
app.add_typer(evidence.app, name="evidence")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(golden.app, name="golden")
app.add_typer(keys.app, name="keys")
app.add_typer(notifications.app, name="notifications")
app.add_typer(policies.app, name="policy")
app.add_typer(tokens.app, name="token")


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; an error prints one message on standard error, no traceback, and exits with its code."""
    take_from_environment()
    try:
        app(args=args, prog_name="gauntlet")
    except CliError as error:
        _fail(error.message, error.hint, error.code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)  # the reader of a pipe (head, less) has closed it
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        _fail(what, "Check the path, its permissions and the room on the disk.")
    except Exception as error:
        if _is_transport_error(error):
            request = error.request.url if error._request is not None else "a service"
            _fail(f"no answer from {request}: {error or type(error).__name__}", "Is the stack up? See: gauntlet status")
        if os.environ.get("GAUNTLET_DEBUG"):
            raise
        _fail(
            f"unexpected {type(error).__name__}: {error}",
            "This is a defect of gauntlet. GAUNTLET_DEBUG=1 shows where it comes from.",
        )


def _is_transport_error(error: Any) -> bool:
    """Return whether it is httpx's, which only commands that may raise one import."""
    httpx = sys.modules.get("httpx")
    return httpx is not None and isinstance(error, httpx.TransportError)


def _fail(message: str, hint: str | None, code: int = 1) -> None:
    notes().print(f"[bold red]error[/] {escape(message)}", soft_wrap=True)
    if hint:
        notes().print(f"[dim]{escape(hint)}[/]", soft_wrap=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
