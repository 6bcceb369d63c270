"""Globals that a pickle may name without being able to run arbitrary code: the guarantee of `allow_listed`.

A global is `module.name`, as an unpickler would import it (`module:a.b` where the name has dots). An entry is one such
name, or `package.*`: every class of that package and its submodules. A pickle may call any global that it may name,
with arbitrary arguments; so an entry belongs here only if no argument makes it harmful. `numpy.*` would allow
`numpy.f2py` and `numpy.testing`, `pandas.*` would allow readers of pickles: therefore single names, and all classes
only of scikit-learn.
"""

from __future__ import annotations

from collections.abc import Iterable


def _of(module: str, names: str) -> tuple[str, ...]:
    return tuple(f"{module}.{name}" for name in names.split())


DEFAULT: tuple[str, ...] = (
    *_of("builtins", "bool bytearray bytes complex dict float frozenset int list object range set slice str tuple"),
    *_of("collections", "Counter OrderedDict defaultdict deque"),
    *_of("copyreg", "_reconstructor __newobj__ __newobj_ex__"),
    "_codecs.encode",
    *_of("datetime", "date datetime time timedelta timezone"),
    *_of("decimal", "Decimal"),
    *_of("fractions", "Fraction"),
    *_of("functools", "partial"),
    *_of("uuid", "UUID"),
    *_of(
        "numpy", "dtype ndarray bool bool_ str_ bytes_ void datetime64 timedelta64 float16 float32 float64 longdouble"
    ),
    *_of("numpy", "int8 int16 int32 int64 intp uint8 uint16 uint32 uint64 complex64 complex128"),
    *_of("numpy._core.multiarray", "_reconstruct scalar"),
    *_of("numpy.core.multiarray", "_reconstruct scalar"),
    *_of("numpy._core.numeric", "_frombuffer"),
    *_of("numpy.core.numeric", "_frombuffer"),
    *_of("numpy.random._pickle", "__bit_generator_ctor __generator_ctor __randomstate_ctor"),
    *_of("numpy.random.bit_generator", "SeedSequence __pyx_unpickle_SeedSequence"),
    "numpy.random._pcg64.PCG64",
    "numpy.random._mt19937.MT19937",
    "numpy.random._philox.Philox",
    "numpy.random._sfc64.SFC64",
    *_of("pandas.core.frame", "DataFrame"),
    *_of("pandas.core.series", "Series"),
    *_of("pandas.core.indexes.base", "Index _new_Index"),
    *_of("pandas.core.indexes.range", "RangeIndex"),
    *_of("pandas.core.internals.managers", "BlockManager SingleBlockManager"),
    *_of("pandas.core.arrays.categorical", "Categorical"),
    *_of("pandas.core.dtypes.dtypes", "CategoricalDtype"),
    *_of("pandas._libs.internals", "_unpickle_block"),
    *_of("scipy.sparse._csr", "csr_matrix csr_array"),
    *_of("scipy.sparse._csc", "csc_matrix csc_array"),
    *_of("scipy.sparse._coo", "coo_matrix coo_array"),
    "sklearn.*",
    "sklearn.utils.validation.check_array",
    "sklearn.metrics._dist_metrics.newObj",
    "sklearn.neighbors._kd_tree.newObj",
    "sklearn.neighbors._ball_tree.newObj",
)

NOT_MODELS = frozenset(
    {"_build_utils", "_testing", "_test_common", "callback", "conftest", "datasets", "estimator_checks", "externals"}
    | {"test", "tests", "testing", "f2py", "distutils", "setup", "_repr_html"}
)
"""Parts of packages that `package.*` does not allow: they write files, open sockets or run other programs."""


def outside(names: Iterable[str], allowed: Iterable[str]) -> tuple[str, ...]:
    """Return the `names` that no entry of `allowed` allows, in their order."""
    entries = frozenset(allowed)
    packages = tuple(entry.removesuffix("*") for entry in entries if entry.endswith(".*"))
    return tuple(name for name in names if name not in entries and not _is_class_in(name, packages))


def _is_class_in(name: str, packages: tuple[str, ...]) -> bool:
    """Match capitalized names, which are classes. `module:a.B` goes through attributes, so its origin is unknown."""
    module, _, last = name.rpartition(".")
    if not last.lstrip("_")[:1].isupper() or not f"{module}.".startswith(packages):
        return False
    parts = module.split(".")
    return last.isidentifier() and all(map(str.isidentifier, parts)) and not NOT_MODELS.intersection(parts)
