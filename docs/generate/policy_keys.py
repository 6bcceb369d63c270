"""Every key of a policy, from the pydantic schema."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from docs.generate.markdown import code, page, paragraph, sentence, table
from docs.generate.types import in_words, models_in, type_of
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from chassis.env_example import default_of
from contracts.metrics import METRICS
from contracts.policy import ModelPolicy

INTRODUCTION = """
A policy is a YAML file `<model>.yaml` in the folder `POLICIES_DIR`. Only `model` is required. A file with an
unknown key is not taken up. A gate with the value `false` is left out; a gate with the value `true`, or `{}`, has its
defaults. What the gates decide, and how to choose: [policies](../how-to/policies.md).
"""
HEAD = ("Key", "Type", "Default", "Description")


def policy_keys_page() -> str:
    parts = [*_sections("", [ModelPolicy]), _metrics()]
    return page("Policy keys", "contracts.policy", INTRODUCTION, parts)


def _sections(path: str, models: Sequence[type[BaseModel]]) -> Iterator[str]:
    """The section at `path`, which is one of `models`, then those within it."""
    title = f"`{path}`" if path else "Top level"
    fields = {f"{path}.{name}".lstrip("."): field for model in models for name, field in model.model_fields.items()}
    text = paragraph(" ".join(sentence(model.__doc__) for model in models))
    rows = [_row(name, field) for name, field in fields.items()]
    yield f"## {title}\n\n{text}\n\n{table(HEAD, rows) if rows else ''}".rstrip()
    for name, field in fields.items():
        if found := list(models_in(field.annotation)):
            yield from _sections(name + ("[]" if _is_list(field) else ""), found)


def _row(path: str, field: FieldInfo) -> tuple[str, str, str, str]:
    parts = list(models_in(field.annotation))
    types = _with_sections(path, field) if parts else type_of(field)
    description = field.description or "; ".join(sentence(part.__doc__).rstrip(".") for part in parts)
    return code(path), types, _default(field), description


def _with_sections(path: str, field: FieldInfo) -> str:
    """Classes have no meaning in YAML: they are sections, described under the key's own heading."""
    anchor = path.replace(".", "")
    text = in_words(field.annotation)
    for part in models_in(field.annotation):
        text = text.replace(in_words(part), f"[section](#{anchor})")
    return text.replace(f" or [section](#{anchor})" * 2, f" or [section](#{anchor})")


def _is_list(field: FieldInfo) -> bool:
    return in_words(field.annotation).startswith("list of")


def _default(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True)
    if field.is_required():
        return "required"
    if isinstance(value, BaseModel):
        return "its keys' defaults"
    if value is None or value in ((), {}):
        return ""
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
