"""What a pickle would import, read from its opcodes, and what of that the allow-list lets in: evasions included."""

from __future__ import annotations

import importlib
import io
import os
import pickle
import pkgutil
import struct
import warnings
from collections import OrderedDict
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

import cloudpickle
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sklearn
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from gatekeeper.artifacts.pickles import UNKNOWN, Unreadable, read
from gatekeeper.policy.allow_list import DEFAULT, NOT_MODELS, outside


def names(raw: bytes) -> tuple[str, ...]:
    return read(io.BytesIO(raw)).names


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def text(word: str) -> bytes:
    return b"\x8c" + bytes([len(word)]) + word.encode()


EVIL, SYSTEM = text("os") + text("system"), "os.system"

HIDDEN = {
    "plainly": (b"\x80\x04" + EVIL + b"\x93.", SYSTEM),
    "in protocol 0": (b"cos\nsystem\n(S'true'\ntR.", SYSTEM),
    "by INST": (b"(S'true'\nios\nsystem\n.", SYSTEM),
    "in the memo": (b"\x80\x04" + text("os") + b"\x94" + text("system") + b"\x9400h\x00h\x01\x93.", SYSTEM),
    "by DUP": (b"\x80\x04" + text("os") + b"20" + text("system") + b"\x93.", SYSTEM),
    "in a memo out of order": (b"\x80\x04" + text("system") + b"q\x070" + text("os") + b"h\x07\x93.", SYSTEM),
    "behind a list": (b"\x80\x04" + text("os") + b"](K\x01K\x02e0" + text("system") + b"\x93.", SYSTEM),
    "behind a dictionary": (b"\x80\x04" + text("os") + b"}(K\x01K\x02u0" + text("system") + b"\x93.", SYSTEM),
    "in a memo that is overwritten": (
        b"\x80\x04" + text("numpy") + b"q\x010" + text("os") + b"q\x010h\x01" + text("system") + b"\x93.",
        SYSTEM,
    ),
    "under Python 2's name": (b"\x80\x02c__builtin__\neval\n.", "builtins.eval"),
    "under another module of Python 2": (b"\x80\x02ccommands\ngetoutput\n.", "subprocess.getoutput"),
    "through attributes": (
        b"\x80\x04" + text("sklearn.utils") + text("validation.np.random.Generator") + b"\x93.",
        "sklearn.utils:validation.np.random.Generator",
    ),
    "with a space in it": (b"csklearn.x y\nBar\n.", "sklearn.x.y Bar"),
    "as an extension": (b"\x80\x02\x82\x01.", UNKNOWN),
    "as a persistent id": (b"\x80\x04K\x01Q.", UNKNOWN),
    "as no text": (b"\x80\x04" + text("a") + b"(\x93.", UNKNOWN),
    "computed by a call": (
        b"\x80\x04" + text("builtins") + text("str") + b"\x93" + text("os") + b"\x85R" + text("system") + b"\x93.",
        UNKNOWN,
    ),
}


@pytest.mark.parametrize(("raw", "expected"), HIDDEN.values(), ids=HIDDEN.keys())
def test_a_name_is_found_wherever_it_hides_and_is_not_let_in(raw: bytes, expected: str) -> None:
    found = names(raw)
    assert expected in found
    assert expected in outside(found, DEFAULT)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x80",
        b"no pickle",
        b"\x80\x04K\x01",
        b"\x80\x04\x93.",
        b"\x80\x04h\x07.",
        b"\x80\x04(0K\x010000.",
        b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"x.",
        b"cos\nsyst\xe9m\n.",
    ],
)
def test_what_cannot_be_followed_is_said_to_be_unreadable(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        names(raw)


def test_every_name_that_unpickling_imports_is_found() -> None:
    """Against the real unpickler, over objects of many kinds and all protocols."""
    frame = pd.DataFrame({"a": [1.0], "b": pd.Categorical(["x"]), "t": pd.to_datetime(["2013-01-01"])})
    things = [
        frame,
        np.arange(3.0),
        np.array(["a", None], dtype=object),
        np.float32(1),
        np.random.default_rng(1),
        scipy.sparse.eye(3, format="csr"),
        {"a": OrderedDict(b=Decimal("1.5")), "c": {1, 2}, "d": datetime.now(UTC), "e": (1, 2.5, b"x", "y", 2**70)},
        partial(np.clip, 0, a_max=1),
        Calls(os.system, "true"),
        [Calls(eval, "1"), Calls(getattr, "x", "upper")],
        forest(),
    ]
    for thing in things:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            raw = pickle.dumps(thing, protocol)
            seen: set[str] = set()

            class Watching(pickle.Unpickler):
                def find_class(self, module, name, seen=seen):
                    seen.add(f"{module}.{name}")
                    found = super().find_class(module, name)
                    return found if found is not os.system else print

            Watching(io.BytesIO(raw)).load()
            assert seen <= set(names(raw)), (thing, protocol)


def forest() -> RandomForestClassifier:
    random = np.random.default_rng(1)
    return RandomForestClassifier(3, random_state=1).fit(random.random((50, 2)), random.integers(0, 2, 50))


MODELS = {
    "forest": RandomForestClassifier(3),
    "boosting": GradientBoostingClassifier(n_estimators=3),
    "trees": HistGradientBoostingRegressor(max_iter=3),
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
    "neighbours": KNeighborsClassifier(algorithm="kd_tree"),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_the_models_of_scikit_learn_need_nothing_outside_the_default_list(model) -> None:
    random = np.random.default_rng(1)
    fitted = model.fit(random.random((60, 3)), random.integers(0, 2, 60))
    for raw in (pickle.dumps(fitted), cloudpickle.dumps(fitted)):
        assert outside(names(raw), DEFAULT) == ()
    words = TfidfVectorizer().fit(["a word", "another word"])
    assert outside(names(pickle.dumps(words)), DEFAULT) == ()


@pytest.mark.parametrize(
    "model",
    [
        FunctionTransformer(lambda frame: frame),
        Calls(eval, "1"),
        Calls(getattr, "x", "upper"),
        Calls(pd.read_pickle, "x"),
        Calls(np.load, "x"),
        Calls(importlib.import_module, "os"),
        partial(os.system, "true"),
    ],
)
def test_code_and_calls_of_other_libraries_are_outside_of_it(model) -> None:
    assert outside(names(cloudpickle.dumps(model)), DEFAULT)


@pytest.mark.parametrize(
    "name",
    [
        "numpy.f2py.Anything",
        "numpy.testing.runstring",
        "numpy._core._ufunc_reconstruct",
        "sklearn.datasets._base.Bunch",
        "sklearn.externals.joblib.Memory",
        "sklearn.utils._testing.TempMemmap",
        "sklearn.utils.validation.some_function",
        "sklearn:pipeline.Pipeline",
        "sklearnish.Pipeline",
        "sklearn.",
        "sklearn.Pipeline()",
    ],
)
def test_a_package_lets_in_its_classes_and_nothing_else(name: str) -> None:
    assert outside([name], DEFAULT) == (name,)
    assert outside(["sklearn.pipeline.Pipeline", "mine.steps.Step"], (*DEFAULT, "mine.*")) == ()


HARMLESS = {"abc", "array", "builtins", "collections", "inspect", "numbers", "numpy", "pathlib", "queue", "scipy"} | {
    *("threadpoolctl", "typing", "unittest", "_io", "enum", "dataclasses", "warnings", "itertools", "_cyutility"),
}


def test_what_the_entry_for_scikit_learn_lets_in_of_others_is_known() -> None:
    """A class that a module of scikit-learn imports can be named through it: none of them may do harm."""
    found: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in pkgutil.walk_packages(sklearn.__path__, "sklearn."):
            if NOT_MODELS.intersection(module.name.split(".")):
                continue
            try:
                loaded = importlib.import_module(module.name)
            except ImportError:
                continue
            for name in dir(loaded):
                thing = getattr(loaded, name, None)
                home = getattr(thing, "__module__", None) or ""
                if (
                    callable(thing)
                    and not home.startswith("sklearn")
                    and not outside([f"{module.name}.{name}"], DEFAULT)
                ):
                    found.add(f"{home}.{name}")
    assert {name for name in found if name.split(".")[0] not in HARMLESS} == set()
