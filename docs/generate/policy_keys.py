"""Every key of a policy, from the pydantic schema."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from docs.generate.markdown import code, page, paragraph, sentence, table
from docs.generate.types import in_words, is_range, models_in, type_of
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from chassis.env_example import default_of
from contracts.metrics import METRICS
from contracts.policy import ModelPolicy

INTRODUCTION = """
A policy is a YAML file `<model>.yaml` in the folder `POLICIES_DIR`. Only `model` is required. A file with an
unknown key is not taken up. A gate with the value `false` is left out; a gate with the value `true`, or `{}`, has its
defaults. A share is a number or a percentage: `0.1` or `10%`. What the gates decide, and how to choose:
[policies](../how-to/policies.md). What strategy, staging, approval and watch do, with a complete policy for each:
[rollouts](../how-to/rollouts.md).
"""
DEFAULTS = ModelPolicy(model="m").model_dump(mode="json")
"""As they are written: `direct`, not an empty list."""
HEAD = ("Key", "Type", "Default", "Description")


def policy_keys_page() -> str:
    parts = [*_sections("", [ModelPolicy]), _metrics()]
    return page("Policy keys", "contracts.policy", INTRODUCTION, parts)


def _sections(path: str, models: Sequence[type[BaseModel]]) -> Iterator[str]:
    """The section at `path`, which is one of `models`, then those within it."""
    title = f"`{path}`" if path else "Top level"
    fields = {
        f"{path}.{field.alias or name}".lstrip("."): field
        for model in models
        for name, field in model.model_fields.items()
    }
    kinds = [next(iter(model.model_fields)) for model in models] if _are_kinds(models) else []
    text = paragraph(_of_kinds(path, kinds) if kinds else " ".join(sentence(model.__doc__) for model in models))
    rows = [_row(name, field, of_kinds=bool(kinds)) for name, field in fields.items()]
    yield f"## {title}\n\n{text}\n\n{table(HEAD, rows) if rows else ''}".rstrip()
    for name, field in fields.items():
        if found := list(models_in(field.annotation)):
            yield from _sections(name + ("[]" if _is_list(field) and not _are_kinds(found) else ""), found)


def _of_kinds(path: str, kinds: Sequence[str]) -> str:
    several = ", ".join(f"{{{kind}: …}}" for kind in kinds[:2])
    return (
        f"One of these keys: `{path}: {{{kinds[0]}: …}}`; or a list of them, one after another: `{path}: [{several}]`."
        f" A name alone, `{path}: {kinds[0]}`, has the defaults of its keys."
    )


def _row(path: str, field: FieldInfo, *, of_kinds: bool) -> tuple[str, str, str, str]:
    parts = list(models_in(field.annotation))
    types = _with_sections(path, field) if parts else type_of(field)
    description = field.description or "; ".join(sentence(part.__doc__).rstrip(".") for part in parts)
    return code(path), types, "" if of_kinds else _default(path, field), description


def _with_sections(path: str, field: FieldInfo) -> str:
    """Classes have no meaning in YAML: they are sections, described under the key's own heading."""
    section, parts = f"[section](#{path.replace('.', '')})", list(models_in(field.annotation))
    if _is_list(field) and _are_kinds(parts):
        return f"{section}, or a list of them"
    text = in_words(field.annotation)
    for part in parts:
        text = text.replace(in_words(part), section)
    return text.replace(f" or {section}" * 2, f" or {section}")


def _is_list(field: FieldInfo) -> bool:
    return in_words(field.annotation).startswith("list of")


def _are_kinds(models: Sequence[type[BaseModel]]) -> bool:
    """Whether each class is one key with a section, such as `{shadow: …}`: the key says which of them was written."""
    keys = [list(model.model_fields.values()) for model in models]
    return len(models) > 1 and all(len(fields) == 1 and any(models_in(fields[0].annotation)) for fields in keys)


def _default(path: str, field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True)
    if field.is_required():
        return "required"
    if isinstance(value, BaseModel):
        return "its keys' defaults"
    if is_range(field.annotation):
        return code("{}..{}".format(*value))
    if value is None or value in ((), {}):
        word = DEFAULTS.get(path)
        return code(word) if isinstance(word, str) else ""
    return code(default_of(value))


def _metrics() -> str:
    rows = [
        (code(metric.name), ", ".join(metric.problems), "greater" if metric.greater_is_better else "smaller")
        for metric in METRICS.values()
    ]
    quantiles = paragraph(
        "`pinball` is of the median; `pinball_90` is of the quantile 0.9, and so for any percentage. `mase` and"
        " `directional_accuracy` need the event time of the golden rows; rows of each entity are a series of their own."
        " A function of yours is a metric by its name, `package.module:name_score`, `…_error` or `…_loss`."
    )
    return f"## Metrics\n\n{table(('Metric', 'Problems', 'Better'), rows)}\n\n{quantiles}"
