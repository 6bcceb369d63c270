"""Import every module of each member in an environment that holds nothing but that member's own closure.

`python tests/isolated_imports.py UV MEMBER...`: an import that works only because a sibling happens to be installed
fails here.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
names = [m.name for m in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
for name in names:
    if not name.endswith(".__main__") and ".migrations" not in name:
        importlib.import_module(name)
print(f"{sys.argv[1]}: {len(names) + 1} modules")
"""


def check(uv: str, member: str, constraints: Path) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "bin" / "python"
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", str(python), "--constraint", str(constraints)]
        subprocess.run([*install, f"./{member}"], check=True)
        # -P and -I: neither the current folder nor PYTHONPATH may lend what is missing
        declared = tomllib.loads((Path(member) / "pyproject.toml").read_text())
        module = declared["tool"]["uv"]["build-backend"]["module-name"]
        done = subprocess.run([str(python), "-I", "-c", IMPORT_ALL, module], check=False)
        return done.returncode == 0


def main(uv: str, *members: str) -> int:
    lines = Path("requirements.lock").read_text().splitlines(keepends=True)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as pins:
        pins.writelines(line for line in lines if not line.startswith("-e "))
        pins.flush()
        failed = [member for member in members if not check(uv, member, Path(pins.name))]
    for member in failed:
        print(f"{member} does not import in its own closure: declare what it uses in {member}/pyproject.toml")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
