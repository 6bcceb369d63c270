"""Load a model version from its MLflow folder: the pyfunc, its signature and Gauntlet metadata, its input example.

Only this module and others that need a model import MLflow and pandas: the service starts without them.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import mlflow.pyfunc

from chassis import mlmodel
from chassis.errors import Permanent, Transient
from chassis.scoring import scorer_of
from chassis.servable import servable
from serving.inference.hosted_model import HostedModel, brings_code
from serving.inference.model import LoadedModel, first_line
from serving.policy.versions import Artifact


def load(artifact: Artifact, folder: Path, seconds: float = 300.0, *, isolated: bool = False) -> LoadedModel:
    """Load a model. Blocks; `seconds` limits a model that is loaded in a process of its own (`hosted_model`).

    That is one that brings code, and any one if `isolated`.

    Raises Permanent for what will never load, Transient when resources are short.
    """
    pyfunc: Any
    sys.dont_write_bytecode = True  # a model's own code would leave .pyc files in the cache, and change its digest
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlmodel.content(folder)  # its paths: MLflow would open a file outside the folder
            problem = artifact.output.problem if artifact.output else None
            if isolated or brings_code(folder):
                pyfunc = HostedModel(folder, seconds, problem, artifact.digest)
                scorer = pyfunc.scorer()
            else:
                pyfunc = mlflow.pyfunc.load_model(str(folder))
                scorer = scorer_of(pyfunc, problem)
        served = servable(pyfunc, scorer, artifact.output)
    except (Permanent, Transient):
        raise
    except MemoryError as error:
        raise Transient("not enough memory to load the model") from error
    except (Exception, SystemExit) as error:  # unpickling runs the model's own code
        raise Permanent(f"cannot load the model: {type(error).__name__}: {first_line(error)}") from error
    return LoadedModel(artifact, served.signature, served.example, pyfunc, scorer)
