"""The migrations of each package: one line, in the order of their files. Alembic takes one of two with one number."""

from __future__ import annotations

import importlib.util
from importlib.resources import files
from pathlib import Path

import pytest


@pytest.mark.parametrize("package", ["chassis", "trainer", "gatekeeper", "drift"])
def test_each_migration_follows_the_one_before(package: str) -> None:
    before = None
    for path in sorted(Path(str(files(package))).glob("migrations/versions/[0-9]*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.revision.endswith(path.stem.partition("_")[0]) and module.down_revision == before, path
        before = module.revision
    assert before is not None
