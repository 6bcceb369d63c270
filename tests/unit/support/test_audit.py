"""`make audit`: what is not listed fails, what is listed for nothing fails, and what was not asked is not safe."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from support import audit
from support.audit import Accepted, Found, NotChecked

TODAY = date(2026, 12, 1)
HAM = Found("ham", "1.0", frozenset({"PYSEC-1", "CVE-1"}), "open")
LISTED = Accepted("CVE-1", "Ham", "we never open it", date(2027, 1, 1))


def test_the_lock_and_the_list_are_read_whole() -> None:
    versions = audit.locked(audit.LOCK.read_text())
    assert len(versions) > 150 and {"mlflow", "cryptography", "pip-audit"} <= versions.keys()
    assert all(version[0].isdigit() for version in versions.values())
    for each in audit.accepted(audit.LISTED.read_text()):
        assert each.package in versions


@pytest.mark.parametrize(
    ("found", "listed", "says"),
    [
        ([], [], []),
        ([HAM], [LISTED], []),
        ([HAM], [], ["ham 1.0: CVE-1, PYSEC-1 open: not listed in vulnerabilities.toml"]),
        (
            [HAM],
            [Accepted("CVE-1", "eggs", "r", TODAY)],
            ["not listed", "eggs CVE-1 is listed, and the lock no longer"],
        ),
        ([HAM], [Accepted("CVE-1", "ham", "r", TODAY)], []),
        ([HAM], [Accepted("CVE-1", "ham", "r", date(2026, 11, 30))], ["was accepted until 2026-11-30; look again"]),
        ([], [LISTED], ["Ham CVE-1 is listed, and the lock no longer has it: remove it"]),
    ],
)
def test_each_vulnerability_needs_a_valid_entry_and_each_entry_a_vulnerability(
    found: list[Found], listed: list[Accepted], says: list[str]
) -> None:
    said = audit.problems(found, listed, TODAY)
    assert len(said) == len(says)
    assert all(part in line for part, line in zip(says, said, strict=True)), said


@pytest.mark.parametrize(
    "entry",
    ["reason = ' '\nuntil = 2027-01-01", "reason = 'r'\nuntil = 'never'", "until = 2027-01-01", "reason = 'r'"],
)
def test_an_entry_has_a_reason_and_a_day(entry: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        audit.accepted(f"[[accepted]]\nid = 'CVE-1'\npackage = 'ham'\n{entry}\n")


def test_what_pip_audit_skips_is_not_checked() -> None:
    """It ends with success, and says that no vulnerabilities are known."""
    whole = {"name": "Ham", "version": "1.0", "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": []}]}
    assert audit.of_audit({"dependencies": [whole]}) == [Found("ham", "1.0", HAM.ids)]
    with pytest.raises(NotChecked, match="serves no vulnerabilities of eggs"):
        audit.of_audit({"dependencies": [whole, {"name": "eggs", "skip_reason": "not found"}]})


def test_advisories_in_a_folder_are_looked_up_and_without_any_it_says_not_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit.main([str(tmp_path)]) == 0
    assert "known vulnerabilities: not checked: " in capsys.readouterr().out
    version = audit.locked(audit.LOCK.read_text())["mlflow"]
    affected = [{"package": {"ecosystem": "PyPI", "name": "mlflow"}, "versions": [version]}]
    (tmp_path / "PYSEC-1.json").write_text(json.dumps({"id": "PYSEC-1", "summary": "made up", "affected": affected}))
    assert audit.main([str(tmp_path)]) == 1
    assert f"mlflow {version}: PYSEC-1 made up: not listed in vulnerabilities.toml" in capsys.readouterr().out
