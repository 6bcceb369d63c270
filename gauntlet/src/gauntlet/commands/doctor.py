"""gauntlet doctor: what is missing or misconfigured on this machine, and the fix."""

from __future__ import annotations

from dataclasses import asdict

import typer
from rich.markup import escape

from gauntlet.commands.stack import PortOffset
from gauntlet.options import DEFAULT_DATA_DIR, DataDir, Json
from gauntlet.output import console, print_json


def doctor(data_dir: DataDir = DEFAULT_DATA_DIR, port_offset: PortOffset = 0, as_json: Json = False) -> None:
    """Check this machine; each finding with its fix. Exit 1 when something keeps the stack from running."""
    from gauntlet.doctor_checks import run_checks

    findings = run_checks(data_dir, port_offset)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            mark = "[green]ok [/]" if finding.ok else "[bold red]BAD[/]"
            console().print(f"{mark} [bold]{finding.name:<14}[/] {escape(finding.found)}", soft_wrap=True)
            if finding.fix:
                console().print(f"    {'':<14} [yellow]{escape(finding.fix)}[/]", soft_wrap=True)
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)
