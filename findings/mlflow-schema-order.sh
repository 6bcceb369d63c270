#!/usr/bin/env bash
# mlflow 3.17.2 with SQLAlchemy 2.1.9 and alembic 1.20.1, SQLite.
#
# One would expect: the same version makes the same tables, so that a schema can be compared as text, by digest, or by
# `sqlite3 .schema | diff`.
# Seen: the CHECK constraints of the table "runs" come in one order or another, by the run of Python that made it
# (PYTHONHASHSEED decides: Alembic's batch mode puts named constraints through a set). Sorted, the lines are equal.
#
# Exits 0 while that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    mlflow==3.17.2 sqlalchemy==2.1.9 alembic==1.20.1 "pandas<3"
make() { # SEED: the definition of the table, a line a constraint
    PYTHONHASHSEED=$1 MLFLOW_DISABLE_TELEMETRY=true "$folder/venv/bin/python" - "$folder/$1.db" 2>/dev/null <<'PYTHON'
import sqlite3
import sys

from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

SqlAlchemyStore(f"sqlite:///{sys.argv[1]}", "mlflow-artifacts:/")
print(sqlite3.connect(sys.argv[1]).execute("SELECT sql FROM sqlite_master WHERE name = 'runs'").fetchone()[0])
PYTHON
}
orders=() lines=()
for seed in 0 1 2 3 4 5 6 7; do
    made=$(make "$seed")
    orders+=("$(sha256sum <<<"$made")")
    lines+=("$(tr -d ',' <<<"$made" | sort | sha256sum)")
done
distinct=$(printf '%s\n' "${orders[@]}" | sort -u | wc -l)
contents=$(printf '%s\n' "${lines[@]}" | sort -u | wc -l)
echo "8 databases: $distinct orders of the constraints of one table, $contents sets of them"
[[ $distinct -gt 1 && $contents -eq 1 ]]
