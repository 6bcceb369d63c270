"""Prints a window's rows as production would send them: `python -m examples.rows flights 2013-06`.

One JSON object a line, oldest first: `row` is what the prediction endpoint takes (features, entity, event time; a
missing number is null), `label` is the true label, which is known only later.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator

import pandas as pd

from examples.catalogue import EXAMPLES, recipe_of

CHUNK = 1000


def lines(frame: pd.DataFrame, label: str) -> Iterator[str]:
    """Yield the rows of `frame` as JSON objects with `row` and `label`."""
    for start in range(0, len(frame), CHUNK):
        part = frame.iloc[start : start + CHUNK]
        rows = part.drop(columns=label).to_json(
            orient="records", lines=True, date_format="iso", double_precision=15, force_ascii=True
        )
        for row, truth in zip(rows.splitlines(), part[label].tolist(), strict=True):
            yield f'{{"row": {row}, "label": {truth}}}'


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m examples.rows", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("example", choices=EXAMPLES)
    parser.add_argument("window", help="such as 2013-06 or month_001")
    parser.add_argument("--limit", type=int, default=None, help="print so many rows at most")
    given = parser.parse_args(argv)
    recipe = recipe_of(given.example)
    try:
        frame = recipe.load(given.window)
    except (ValueError, FileNotFoundError) as error:
        parser.exit(1, f"{error}\n")
    columns = [*recipe.features, recipe.label, recipe.entity, recipe.event_time]
    try:
        for line in lines(
            frame[columns].head(given.limit) if given.limit is not None else frame[columns], recipe.label
        ):
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has enough
    return 0


if __name__ == "__main__":
    sys.exit(main())
