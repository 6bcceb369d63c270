"""Settings of drift."""

from __future__ import annotations

from pathlib import Path

import pytest

from drift.settings import Settings


def test_a_setting_that_is_gone_breaks_no_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """DRIFT_LABEL_SHARE was one before labels had a maturity: it may still be in an environment and in a .env."""
    monkeypatch.setenv("DRIFT_LABEL_SHARE", "0.8")
    (tmp_path / ".env").write_text("DRIFT_LABEL_SHARE=0.8\nDRIFT_LABEL_MATURITY=2d\n")
    assert Settings(_env_file=tmp_path / ".env").label_maturity.days == 2
