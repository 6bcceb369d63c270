"""What `gauntlet try` judges with: a policy, golden rows, and the process that measures."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chassis.policy_store import PolicyStore
from contracts.policy import ModelPolicy
from gauntlet.endpoints import stack_settings, uri_prefixes
from gauntlet.errors import CliError
from gauntlet.modules import follow
from gauntlet.policy_files import policy_in

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
    path = given or PolicyStore(folder).file_of(name)
    if path is not None:
        policy = policy_in(path)
        if policy.model != name:
            raise CliError(f"{path} is the policy of {policy.model!r}, not of {name!r}", f"Say `model: {name}` in it.")
        yield ChosenPolicy(policy, path, path.read_text())
        return
    with tempfile.TemporaryDirectory(prefix="gauntlet-policy-") as temporary:
        path, text = Path(temporary) / f"{name}.yaml", STARTER.format(name=name)
        path.write_text(text)
        yield ChosenPolicy(policy_in(path), path, text, folder / path.name)


@dataclass(frozen=True)
class GivenRows:
    """A Parquet file of golden rows, and the columns of it that options name, by role."""

    file: Path
    names: dict[str, str]


@contextmanager
def golden_file(
    file: Path | None, label: str | None, entity: str | None, event_time: str | None
) -> Iterator[GivenRows | None]:
    """These rows as `gauntlet golden create` would store them. Raises CliError for what that refuses."""
    if file is None:
        yield None
        return
    from gauntlet.row_files import parquet_of

    roles = {"label": label, "entity": entity, "event_time": event_time}
    content = parquet_of(file, roles)
    with tempfile.TemporaryDirectory(prefix="gauntlet-golden-") as folder:
        path = Path(folder) / f"{file.stem}.parquet"
        path.write_bytes(content)
        yield GivenRows(path, {role: column for role, column in roles.items() if column})


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
    name: str,
    version: int,
    policy: ChosenPolicy,
    golden: GivenRows | None,
    stored: dict[str, Any] | None,
    tracking_uri: str,
) -> dict[str, Any]:
    """Run the gates in a process of their own, showing its progress; its verdict. Raises CliError when it fails."""
    module = ["gatekeeper.dry_run", name, str(version), str(policy.path)]
    if golden is not None:
        module += ["--golden", str(golden.file), "--names", json.dumps(golden.names)]
    if stored is not None:
        module += ["--stored", json.dumps(stored)]
        module += ["--named"] if policy.policy.golden.dataset else []
    (last,) = follow(module, {"MLFLOW_TRACKING_URI": tracking_uri, "ALLOWED_URI_PREFIXES": uri_prefixes()})
    verdict: dict[str, Any] = last["verdict"]
    return verdict
