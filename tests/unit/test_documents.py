"""What is generated is not stale, and what the documentation links to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chassis.asyncapi import document

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path for path in ROOT.rglob("*.md") if not {".venv", ".tools", ".gauntlet"} & set(path.relative_to(ROOT).parts)
)


@pytest.mark.parametrize("service", ["trainer", "gatekeeper", "serving", "drift"])
def test_the_asyncapi_document_is_what_the_service_says_today(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    committed = (ROOT / "docs" / "asyncapi" / f"{service}.yaml").read_text()
    assert committed == document(service), "run `make docs` and commit"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    missing = [link for link in targets if "://" not in link and not (page.parent / link).exists()]
    assert missing == []
