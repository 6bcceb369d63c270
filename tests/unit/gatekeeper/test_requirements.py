"""What a model needs to be installed: compared with what is, and with known vulnerabilities."""

from __future__ import annotations

import json

import mlflow.sklearn
import pytest
from sklearn.linear_model import LinearRegression

from contracts import Outcome
from contracts.gate_settings import Integrity
from gatekeeper.artifacts import requirements
from gatekeeper.artifacts.advisories import Advisories
from gatekeeper.artifacts.scan import inspect
from gatekeeper.policy.gates.integrity import decide


@pytest.mark.parametrize(
    ("line", "installed", "satisfied"),
    [
        ("numpy==2.4.6", "2.4.6", True),
        ("numpy==2.4.5", "2.4.6", False),
        ("numpy>=2,<3", "2.4.6", True),
        ("numpy", None, False),
        ("Scikit_Learn==1.9.1 --hash=sha256:00", "1.9.1", True),
        ("mlflow[gateway]>=3  # why", "3.17.2rc1", True),
        ("numpy==1.0; python_version < '3'", "2.4.6", None),
        ("-r other.txt", "1", None),
        ("numpy @ https://example.org/numpy.whl", "1", None),
        ("git+https://example.org/x", "1", None),
        ("# a note", "1", None),
    ],
)
def test_a_requirement_is_compared_with_what_is_installed(tmp_path, line, installed, satisfied):
    (tmp_path / "requirements.txt").write_text(f"{line}\n")
    found, unread = requirements.declared(tmp_path, lambda name: installed and (name, installed))
    assert [item.satisfied for item in found] == ([] if satisfied is None else [satisfied])
    assert len(unread) == (satisfied is None and not line.startswith(("#", "numpy==1.0")))


@pytest.mark.parametrize(("python", "satisfied"), [("2.7.18", False), (None, True)])
def test_the_version_of_python_is_a_dependency(tmp_path, python, satisfied):
    import platform

    python = python or platform.python_version()
    (tmp_path / "conda.yaml").write_text(f"dependencies: [python={python}, pip: [numpy>=1]]")
    found, _ = requirements.declared(tmp_path)
    assert {item.package: item.satisfied for item in found} == {"numpy": True, "python": satisfied}


@pytest.mark.parametrize(
    ("declared", "installed", "same"),
    [
        ("pandas==2.3.1", "2.3.3", True),
        ("pandas==2.3.1", "2.2.0", True),
        ("pandas==2.3.1", "3.1.0", False),
        ("pandas==3.1.0", "2.3.3", False),
        ("pandas==2.3.*", "2.4.0", True),
        ("pandas>=2.4,<3", "2.3.3", True),
        ("pandas>=2,<2.3", "2.3.3", True),
        ("pandas<3", "3.1.0", False),
        ("pandas<3", "2.3.3", True),
        ("pandas~=2.4", "2.3.3", True),
        ("pandas>=2,!=2.3.3", "2.3.3", False),  # excluded by name
        ("pandas", "2.3.3", True),
        ("cloudpickle==3.1.3", "3.1.2", True),
    ],
)
def test_what_has_the_same_major_version_is_known(tmp_path, declared, installed, same):
    (tmp_path / "requirements.txt").write_text(f"{declared}\n")
    (found,), _ = requirements.declared(tmp_path, lambda name: (name, installed))
    assert found.same_major is same and (found.satisfied <= same)


def test_the_module_decides_not_the_name_of_the_package(tmp_path):
    """Of packages that are installed here: PyYAML provides `yaml`; scikit-learn `sklearn`, as a variant of it would."""
    lines = ["sklearn>=1", "scikit-learn-cpu>=1", "yaml", "nothing-like-it-headless"]
    (tmp_path / "requirements.txt").write_text("\n".join(lines))
    found, _ = requirements.declared(tmp_path)
    providers = {each.requirement: (each.provider, each.satisfied) for each in found}
    assert providers == {
        "sklearn>=1": ("scikit-learn", True),
        "scikit-learn-cpu>=1": ("scikit-learn", True),
        "yaml": ("PyYAML", True),
        "nothing-like-it-headless": (None, False),
    }
    boosted = requirements.installed_here("xgboost")
    assert boosted is not None and boosted == requirements.installed_here("xgboost-cpu")


ADVISORY = {
    "id": "PYSEC-2030-1",
    "summary": "it says too much",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "Some.Package"},
            "versions": ["0.9"],
            "ranges": [
                {"type": "GIT", "events": [{"introduced": "0"}]},
                {
                    "type": "ECOSYSTEM",
                    "events": [
                        {"introduced": "1.0"},
                        {"fixed": "1.5"},
                        {"introduced": "2.0"},
                        {"last_affected": "2.2"},
                    ],
                },
            ],
        }
    ],
}


@pytest.mark.parametrize(
    ("version", "hit"),
    [("0.9", 1), ("0.8", 0), ("1.0", 1), ("1.4.9", 1), ("1.5", 0), ("2.0", 1), ("2.2", 1), ("2.3", 0), ("odd", 0)],
)
def test_an_advisory_concerns_the_versions_in_its_ranges(tmp_path, version, hit):
    (tmp_path / "some-package").mkdir()
    (tmp_path / "some-package" / "PYSEC-2030-1.json").write_text(json.dumps(ADVISORY))
    (tmp_path / "withdrawn.json").write_text(json.dumps({**ADVISORY, "withdrawn": "2030-01-01T00:00:00Z"}))
    (tmp_path / "other.yaml").write_text("id: X\naffected:\n- package: {ecosystem: npm, name: some-package}\n")
    (tmp_path / "broken.json").write_text("{")
    advisories, found = Advisories(tmp_path).look_up({"some-package": version})
    assert (advisories, len(found)) == (2, hit)


def test_without_advisories_nothing_is_said_to_be_known(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        assert Advisories(folder).look_up({"numpy": "1"}) == (None, ())


def test_a_vulnerable_dependency_fails_at_the_version_that_would_be_imported(tmp_path):
    _, installed = requirements.installed_here("numpy")
    affected = [{"package": {"ecosystem": "PyPI", "name": "numpy"}, "versions": [installed]}]
    (tmp_path / "advisories").mkdir()
    (tmp_path / "advisories" / "a.json").write_text(json.dumps({**ADVISORY, "affected": affected}))
    folder, model = tmp_path / "model", LinearRegression().fit([[0.0], [1.0]], [0, 1])
    mlflow.sklearn.save_model(model, folder, serialization_format="cloudpickle", pip_requirements=["numpy"])
    advisories = Advisories(tmp_path / "advisories")
    settings = Integrity(serialisation="any")
    verdict = decide(inspect(folder, None, "sha256:a", settings, advisories), settings)
    assert verdict.outcome is Outcome.FAILED
    assert f"numpy {installed} has a known vulnerability, PYSEC-2030-1: it says too much" in verdict.reason
