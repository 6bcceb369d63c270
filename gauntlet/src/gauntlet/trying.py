"""What `gauntlet try` judges with: a policy, golden rows, and the process that measures."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chassis.policies import PolicyError, load_policy
from contracts.policy import ModelPolicy
from gauntlet.endpoints import stack_settings
from gauntlet.errors import CliError
from gauntlet.modules import follow

STARTER = """\
model: {name}
gates:
  performance:
    floor: {{}}               # what the first champion must reach, such as {{roc_auc: 0.7}}
"""


@dataclass(frozen=True)
class ChosenPolicy:
    """`suggested`: where the policy should be saved, for a model that has none."""

    policy: ModelPolicy
    path: Path
    text: str
    suggested: Path | None = None


@contextmanager
def chosen_policy(name: str, given: Path | None) -> Iterator[ChosenPolicy]:
    """The policy that is given, or the model's own, or one to begin with. Raises CliError for one that is invalid."""
    folder = stack_settings().policies_dir
    path = given or _own(folder, name)
    if path is not None:
        policy = _loaded(path)
        if policy.model != name:
            raise CliError(f"{path} is the policy of {policy.model!r}, not of {name!r}", f"Say `model: {name}` in it.")
        yield ChosenPolicy(policy, path, path.read_text())
        return
    with tempfile.TemporaryDirectory(prefix="gauntlet-policy-") as temporary:
        path, text = Path(temporary) / f"{name}.yaml", STARTER.format(name=name)
        path.write_text(text)
        yield ChosenPolicy(_loaded(path), path, text, folder / path.name)


def _own(folder: Path, name: str) -> Path | None:
    """The file with the policy of this model; a broken file of another model is passed over."""
    for path in sorted((*folder.glob("*.yaml"), *folder.glob("*.yml"))):
        try:
            if load_policy(path).model == name:
                return path
        except PolicyError:
            if path.stem == name:
                return path
    return None


def _loaded(path: Path) -> ModelPolicy:
    try:
        return load_policy(path)
    except PolicyError as error:
        raise CliError(str(error), "gauntlet policy check FILE shows what a policy does.") from error


@contextmanager
def golden_file(
    file: Path | None, label: str | None, entity: str | None, event_time: str | None
) -> Iterator[Path | None]:
    """A Parquet file of these rows that says which columns are label, entity and event time."""
    if file is None:
        yield None
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    from gauntlet.row_files import read_frame

    frame = read_frame(file)
    roles = {"label": label, "entity": entity, "event_time": event_time}
    named = {role: column for role, column in roles.items() if column}
    for role, column in named.items():
        if column not in frame.columns:
            raise CliError(f"{file} has no column {column!r} (--{role.replace('_', '-')})", _columns(frame.columns))
    table = pa.Table.from_pandas(frame, preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), b"gauntlet": json.dumps(named).encode()})
    with tempfile.TemporaryDirectory(prefix="gauntlet-golden-") as folder:
        path = Path(folder) / f"{file.stem}.parquet"
        pq.write_table(table, path)
        yield path


def _columns(names: Any) -> str:
    return f"It has: {', '.join(map(str, list(names)[:30]))}"


def stored_golden(name: str, policy: ModelPolicy, gatekeeper: str | None, data_dir: Path) -> dict[str, Any] | None:
    """The golden dataset that the policy names, or else the newest one, as the gatekeeper's API shows it.

    Raises CliError when the policy names one and the gatekeeper is unavailable; otherwise it need not run.
    """
    from gauntlet.service_client import LONG_TIMEOUT, gatekeeper_client

    wanted = policy.golden.dataset
    try:
        found = gatekeeper_client(gatekeeper, data_dir, LONG_TIMEOUT).get(f"/models/{name}/golden")
    except CliError:
        if wanted is not None:
            raise
        return None
    return next((each for each in found if wanted in (None, "latest", each["digest"])), None)


def judged(
    name: str, version: int, policy: ChosenPolicy, golden: Path | None, stored: dict[str, Any] | None, tracking_uri: str
) -> dict[str, Any]:
    """Run the gates in a process of their own, showing its progress; its verdict. Raises CliError when it fails."""
    module = ["gatekeeper.dry_run", name, str(version), str(policy.path)]
    if golden is not None:
        module += ["--golden", str(golden)]
    if stored is not None:
        module += ["--stored", json.dumps(stored)]
        module += ["--named"] if policy.policy.golden.dataset else []
    (last,) = follow(module, {"MLFLOW_TRACKING_URI": tracking_uri})
    verdict: dict[str, Any] = last["verdict"]
    return verdict
