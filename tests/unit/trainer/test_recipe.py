"""What a recipe must be and return, and what its author is told otherwise."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from contracts.metrics import Problem
from support.tiny_recipe import TinyRecipe
from trainer.recipes.recipe import RecipeError, code_version, load_recipe, load_window


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("nowhere.at_all:recipe", "there is no module 'nowhere' here"),
        ("support.nowhere:recipe", "there is no module 'support.nowhere' here"),
        ("support.tiny_recipe:recpie", "has no attribute 'recpie'; nearest: 'recipe'"),
        ("support.tiny_recipe:WINDOWS", "tuple has no features"),
        ("support.tiny_recipe:recipe.trane", "has no attribute 'trane'; nearest: 'train'"),
    ],
)
def test_a_reference_that_leads_nowhere_says_where_it_ends(reference: str, said: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(said)):
        load_recipe(reference)


def test_a_module_that_raises_is_named_with_what_it_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_recipe_module.py").write_text("1 / 0\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(RecipeError, match="importing broken_recipe_module raised ZeroDivisionError"):
        load_recipe("broken_recipe_module:recipe")


def test_a_good_recipe_is_loaded_with_the_version_of_its_code() -> None:
    recipe, module = load_recipe("support.tiny_recipe:recipe")
    assert recipe.name == "tiny"
    assert re.fullmatch(r"(git:[0-9a-f]{40}(-dirty)? )?sha256:[0-9a-f]{64}", code_version(module))


def test_code_without_a_repository_is_known_by_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lonely_recipe_module.py").write_text("from support.tiny_recipe import recipe\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    _, module = load_recipe("lonely_recipe_module:recipe")
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", code_version(module))


class Changed(TinyRecipe):
    """The tiny recipe with one thing wrong."""

    def __init__(self, change: Any, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.change = change

    def load(self, window: str) -> Any:
        frame = super().load(window)
        changed = self.change(frame)
        return frame if changed is None else changed


def put(column: str, value: Any) -> Any:
    return lambda frame: frame.assign(**{column: value})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda _: [1, 2], "load returned list, not a DataFrame"),
        (lambda frame: frame.drop(columns=["y", "label"]), "columns ['y', 'label'] are missing"),
        (lambda frame: frame.head(0), "no rows"),
        (put("x", "1"), "feature 'x' is object, not a number"),
        (put("x", 1j), "feature 'x' is complex128, not a number"),
        (put("x", pd.Timestamp("2024-01-01")), "not a number; convert it, or list it in `categorical`"),
        (put("x", 2**53 + 1), "feature 'x' holds 9007199254740993, which float64 cannot represent exactly"),
        (put("colour", 1.5), "categorical feature 'colour' is float64, not text"),
        (put("colour", pd.Series([1] * 600, dtype="category")), "'colour' holds 600 values of type int"),
        (put("colour", pd.Series([b"red"] * 600, dtype=object)), "'colour' holds 600 values of type bytes"),
        (put("label", None), "600 of 600 rows have no label ('label')"),
        (put("label", 2), "label 'label' of a binary problem holds [2.0]"),
        (put("label", "yes"), "label 'label' is no number"),
        (put("user", None), "600 of 600 rows have no entity ('user')"),
        (put("at", pd.Timestamp("2024-01-01")), "not a datetime with time zone"),
        (put("at", "2024-01-01"), "event time 'at' is object, not a datetime with time zone"),
    ],
)
def test_rows_that_break_the_promise_are_refused(change: Any, said: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(said)) as caught:
        load_window(Changed(change), "w1", "binary")
    assert "recipe 'tiny', window 'w1'" in str(caught.value)


@pytest.mark.parametrize(
    ("problem", "label", "dtype"),
    [("binary", True, "int64"), ("regression", 1, "float64"), ("multiclass", "a", "object")],
)
def test_good_rows_come_back_with_the_columns_in_order(problem: Problem, label: Any, dtype: str) -> None:
    frame = load_window(Changed(put("label", label)), "w1", problem)
    assert list(frame.columns) == ["x", "y", "colour", "label", "user", "at"]
    assert frame["label"].dtype == dtype


@pytest.mark.parametrize(
    "dtype", ["int8", "int32", "int64", "uint16", "float32", "bool", "Int32", "Float64", "boolean", "int32[pyarrow]"]
)
def test_a_number_of_any_type_is_a_feature(dtype: str) -> None:
    frame = load_window(Changed(lambda frame: frame.assign(x=(frame["x"] > 0).astype(dtype))), "w1", "binary")
    assert frame["x"].dtype == "float64" and sorted(frame["x"].unique()) == [0, 1]


def test_a_gap_in_a_nullable_integer_is_a_missing_number() -> None:
    gap = pd.Series([None, *range(599)], dtype="Int64")
    frame = load_window(Changed(lambda frame: frame.assign(x=gap)), "w1", "binary")
    assert frame["x"].isna().sum() == 1 and frame["x"].max() == 598


@pytest.mark.parametrize("dtype", ["category", "string", "string[pyarrow]", "object"])
def test_text_of_any_type_is_a_categorical_feature(dtype: str) -> None:
    colours = pd.Series(["red", None, "blue"] * 200, dtype=object).astype(dtype)
    frame = load_window(Changed(lambda frame: frame.assign(colour=colours)), "w1", "binary")
    assert frame["colour"].dtype == object and frame["colour"].tolist()[:3] == ["red", None, "blue"]


def test_a_recipe_needs_no_name() -> None:
    class Nameless(TinyRecipe):
        def __getattribute__(self, name: str) -> Any:
            if name == "name":
                raise AttributeError(name)
            return super().__getattribute__(name)

        def load(self, window: str) -> Any:
            return None

    with pytest.raises(RecipeError, match="recipe 'Nameless', window 'w1': load returned NoneType"):
        load_window(Nameless(), "w1", "binary")


def test_missing_values_in_features_are_allowed() -> None:
    holes = load_window(Changed(lambda frame: frame.assign(x=float("nan"), colour=None)), "w1", "binary")
    assert holes["x"].isna().all()
    assert holes["colour"].isna().all()


def test_an_infinite_regression_label_is_refused() -> None:
    with pytest.raises(RecipeError, match="infinite"):
        load_window(Changed(put("label", float("inf"))), "w1", "regression")


def test_a_recipe_without_entity_and_time_needs_no_such_columns() -> None:
    plain = Changed(lambda frame: frame.drop(columns=["user", "at"]), entity=None, event_time=None)
    assert list(load_window(plain, "w1", "binary").columns) == ["x", "y", "colour", "label"]
