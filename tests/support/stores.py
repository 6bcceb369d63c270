"""A folder in the place of MLflow's artifact store: a URI is a name in it."""

from __future__ import annotations

import shutil
from pathlib import Path

from chassis.errors import NotFound


class FolderStore:
    """Has of a registry what an artifact cache asks for."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def download(self, uri: str, into: Path) -> Path:
        source, target = self.root / uri, into / Path(uri).name
        if source.is_dir():
            shutil.copytree(source, target)
        elif source.is_file():
            shutil.copyfile(source, target)
        else:
            raise NotFound(f"{uri} is not there")
        return target
