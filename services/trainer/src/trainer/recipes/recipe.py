"""The interface of user-written recipes, and validation of what they return."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import subprocess
from collections.abc import Sequence
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from chassis.errors import Permanent
from contracts.metrics import Problem

LARGEST_EXACT = 2**53
"""Integers up to here are exact as float64."""


class RecipeError(Permanent):
    """The recipe cannot be found, or violates its interface."""


@runtime_checkable
class Recipe(Protocol):
    """How to load a model's rows and how to fit it. Features are numbers, categorical ones texts.

    `train` gets numbers as float64, and texts as str objects. A recipe may have a `name`, which errors then use.
    """

    features: Sequence[str]
    categorical: Sequence[str]
    label: str
    entity: str | None
    event_time: str | None

    def windows(self) -> Sequence[str]:
        """All window names there are, oldest first."""
        ...

    def window_at(self, time: datetime) -> str:
        """The window that a point in time belongs to; raises ValueError or LookupError outside the data."""
        ...

    def load(self, window: str) -> pd.DataFrame:
        """The rows of one window: features, label, entity and event time."""
        ...

    def train(self, frame: pd.DataFrame) -> Any:
        """A fitted scikit-learn compatible estimator that takes a DataFrame of `features`."""
        ...


def load_recipe(reference: str) -> tuple[Recipe, ModuleType]:
    """The recipe that `package.module:attribute` names, and the module it is written in.

    Raises RecipeError with what is missing and its nearest match.
    """
    module_name, _, attribute = reference.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise RecipeError(
            f"recipe {reference!r}: there is no module {error.name!r} here; install it beside the trainer, "
            f"or name its folder in TRAINER_RECIPE_PATH"
        ) from error
    except Exception as error:
        raise RecipeError(
            f"recipe {reference!r}: importing {module_name} raised {type(error).__name__}: {error}"
        ) from error
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            nearest = get_close_matches(part, dir(found), n=1)
            hint = f"; nearest: {nearest[0]!r}" if nearest else ""
            raise RecipeError(f"recipe {reference!r}: {module_name} has no attribute {part!r}{hint}")
        found = getattr(found, part)
    lacking = [name for name in _members() if not hasattr(found, name)]
    if lacking:
        raise RecipeError(f"recipe {reference!r}: {type(found).__name__} has no {', '.join(lacking)}")
    unknown = sorted(set(found.categorical) - set(found.features))
    if unknown:
        raise RecipeError(f"recipe {reference!r}: categorical columns {unknown} are not among its features")
    return found, module


def load_window(recipe: Recipe, window: str, problem: Problem) -> pd.DataFrame:
    """Return one window's rows, the needed columns in a fixed order; raises RecipeError for invalid rows."""
    frame = recipe.load(window)
    where = f"recipe {recipe_name(recipe)!r}, window {window!r}"
    if not isinstance(frame, pd.DataFrame):
        raise RecipeError(f"{where}: load returned {type(frame).__name__}, not a DataFrame")
    columns = columns_of(recipe)
    if missing := [name for name in columns if name not in frame.columns]:
        raise RecipeError(f"{where}: columns {missing} are missing; there are {sorted(map(str, frame.columns))}")
    if frame.empty:
        raise RecipeError(f"{where}: no rows")
    frame = frame[columns].reset_index(drop=True)
    for name in recipe.features:
        frame[name] = _texts(frame[name], where) if name in recipe.categorical else _numbers(frame[name], where)
    for role, column in (("label", recipe.label), ("entity", recipe.entity), ("event time", recipe.event_time)):
        if column is not None and (absent := int(frame[column].isna().sum())):
            raise RecipeError(f"{where}: {absent} of {len(frame)} rows have no {role} ({column!r})")
    if recipe.event_time is not None and not isinstance(frame[recipe.event_time].dtype, pd.DatetimeTZDtype):
        dtype = frame[recipe.event_time].dtype
        raise RecipeError(f"{where}: event time {recipe.event_time!r} is {dtype}, not a datetime with time zone")
    frame[recipe.label] = _checked_label(frame[recipe.label], problem, where)
    return frame


def recipe_name(recipe: Recipe) -> str:
    """Return the recipe's own name, else that of its class."""
    return str(getattr(recipe, "name", None) or type(recipe).__name__)


def columns_of(recipe: Recipe) -> list[str]:
    """Features, label, entity and event time, each once."""
    roles = (*recipe.features, recipe.label, recipe.entity, recipe.event_time)
    return list(dict.fromkeys(name for name in roles if name is not None))


def code_version(module: ModuleType) -> str:
    """`git:<commit>[-dirty] sha256:<digest>` of the recipe's source; without a repository only the digest."""
    source = Path(inspect.getfile(module))
    digest = "sha256:" + hashlib.sha256(source.read_bytes()).hexdigest()
    commit = _git(source, "rev-parse", "HEAD")
    if commit is None:
        return digest
    dirty = "-dirty" if _git(source, "status", "--porcelain", "--", source.name) else ""
    return f"git:{commit}{dirty} {digest}"


def _git(source: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(source.parent), *arguments], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None  # no git here: the digest alone identifies it
    return done.stdout.strip() if done.returncode == 0 else None


def _members() -> list[str]:
    attributes = [name for name in Recipe.__annotations__ if not name.startswith("_")]
    methods = [name for name, value in vars(Recipe).items() if inspect.isfunction(value) and not name.startswith("_")]
    return [*attributes, *methods]


def _numbers(column: pd.Series, where: str) -> pd.Series:
    """Return the column as float64, whatever numeric type it has; a gap is NaN."""
    dtype = column.dtype
    if not (pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)) or dtype.kind == "c":
        raise RecipeError(
            f"{where}: feature {column.name!r} is {dtype}, not a number; convert it, or list it in `categorical`"
        )
    found = column.astype("float64")
    if pd.api.types.is_integer_dtype(dtype) and (
        beyond := column[((column > LARGEST_EXACT) | (column < -LARGEST_EXACT)).fillna(False).astype(bool)].tolist()
    ):
        raise RecipeError(
            f"{where}: feature {column.name!r} holds {beyond[0]}, which float64 cannot represent exactly; "
            "if it is an id, list it in `categorical`, as text"
        )
    return found


def _texts(column: pd.Series, where: str) -> pd.Series:
    """Return the column as str objects, whether it is one of objects, of pandas' strings or categories."""
    dtype = column.dtype
    is_object = pd.api.types.is_object_dtype(dtype)
    if not (is_object or isinstance(dtype, pd.CategoricalDtype) or pd.api.types.is_string_dtype(dtype)):
        raise RecipeError(f"{where}: categorical feature {column.name!r} is {dtype}, not text; use .astype(str)")
    found = column.astype(object)
    odd = [value for value in found.dropna() if not isinstance(value, str)]
    if odd:
        kind = type(odd[0]).__name__
        raise RecipeError(f"{where}: categorical feature {column.name!r} holds {len(odd)} values of type {kind}")
    return found if is_object else found.where(found.notna(), None)


def _checked_label(column: pd.Series, problem: Problem, where: str) -> pd.Series:
    if problem == "multiclass":
        return column
    try:
        values = column.astype("float64")
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{where}: label {column.name!r} is no number: {error}") from error
    if problem == "regression":
        if not np.isfinite(values).all():
            raise RecipeError(f"{where}: label {column.name!r} holds an infinite value")
        return values
    if odd := sorted(set(values.unique().tolist()) - {0.0, 1.0}):
        raise RecipeError(f"{where}: label {column.name!r} of a binary problem holds {odd[:5]}; only 0 and 1 may be")
    return values.astype("int64")
