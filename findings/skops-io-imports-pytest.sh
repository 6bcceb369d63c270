#!/usr/bin/env bash
# skops 0.16.0 with scikit-learn 1.9.1.
#
# One would expect: reading a model needs what the model needs. pytest is no dependency that skops declares.
# Seen: where pytest is installed, `import skops.io` imports it (and with it pluggy, pdb's bdb and about a hundred modules);
# where it is not, skops.io is imported without. So the start of a server is slower in an environment that also has the
# tools for tests, and what is loaded differs between the two.
#
# Exits 0 while that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip() { "$folder/venv/bin/pip" --disable-pip-version-check "$@"; }
pip install --quiet numpy==2.4.6 scikit-learn==1.9.1 skops==0.16.0
look() { "$folder/venv/bin/python" -c "import sys, skops.io; print('pytest' in sys.modules, len(sys.modules))"; }
requires=$("$folder/venv/bin/python" -c "import importlib.metadata as m; print([r for r in m.requires('skops') if 'pytest' in r and 'extra' not in r])")
without=$(look)
pip install --quiet pytest==9.2.0
with=$(look)
echo "declared: $requires; imported, and modules in all: without pytest installed $without, with it $with"
[[ $requires == "[]" && $without == False* && $with == True* ]]
