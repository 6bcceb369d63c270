"""Models that bring modules of their own (`code_paths`), all by the same names: each tells its own version."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from textwrap import dedent

import mlflow.pyfunc
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from chassis.digests import digest_tree

WAYS = ("at the top", "inside predict", "by name", "in a thread", "unpickled")
"""How the model finds its own modules; `way` in a row."""

SIGNATURE = ModelSignature(inputs=Schema([ColSpec(DataType.string, "way")]), outputs=Schema([ColSpec(DataType.double)]))


def save_with_own_code(folder: Path, number: int) -> str:
    """Save a model that answers `number`, however it finds its own package `features`; returns the digest.

    `features.late`, and the module `helper`, are first imported by a prediction.
    """
    code = folder.parent / f"{folder.name}-code"
    package = code / "features"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"NUMBER = {number}.0\n")
    (package / "late.py").write_text("from features import NUMBER\n")
    (code / "helper.py").write_text(f"NUMBER = {number}.0\n\nclass Kept:\n    NUMBER = NUMBER\n")
    (code / "own_model.py").write_text(
        dedent("""
            import importlib, os, pickle, signal, threading, time
            import features
            from features import NUMBER

            class Answer:
                pass

            class Model:
                def predict(self, data, params=None):
                    return [self.one(way) for way in data["way"]]

                def one(self, way):
                    if way == "at the top":
                        return NUMBER if features.NUMBER == NUMBER else -1.0
                    if way == "inside predict":
                        from features.late import NUMBER as late
                        import helper
                        return late if helper.NUMBER == late else -1.0
                    if way == "by name":
                        return importlib.import_module("features.late").NUMBER
                    if way == "in a thread":
                        found = []
                        thread = threading.Thread(target=lambda: found.append(__import__("helper").NUMBER))
                        thread.start()
                        thread.join()
                        return found[0]
                    if way == "unpickled":
                        return pickle.loads(b"chelper\\nKept\\n.").NUMBER
                    if way == "raises":
                        raise KeyError("no such way")
                    if way == "exits":
                        raise SystemExit("the model ends")
                    if way == "its own class":
                        return Answer()
                    if way == "is killed":
                        os.kill(os.getpid(), signal.SIGKILL)
                    if way == "hangs":
                        time.sleep(600)
                    if way == "prints":
                        print("a model's own words")
                        return NUMBER
                    return way

            def _load_pyfunc(path):
                return Model()
        """)
    )
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    paths = [str(package), str(code / "helper.py"), str(code / "own_model.py")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(
            folder,
            loader_module="own_model",
            code_paths=paths,
            signature=SIGNATURE,
            pip_requirements=["mlflow"],
            metadata={"gauntlet": {"problem": "regression"}},
        )
    return digest_tree(folder)
