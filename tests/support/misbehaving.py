"""A version that is not compiled and brings no code, and does what its rows say: raises, hangs, leaks, crashes."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from textwrap import dedent

import mlflow.pyfunc
from mlflow.models import infer_signature

from chassis.digests import digest_tree
from support.versions import FEATURES, ROLES, ROW, score_of

WAYS = {
    "raises": "KeyError: 'no such carrier'",
    "hangs": "did not answer within",
    "holds the interpreter": "did not answer within",
    "crashes": "ended by signal 11",
    "exits": "ended with exit code 3",
}
"""What a row's carrier makes it do, and what is said of it."""
LEAK_MB = 200


def row(way: str) -> dict[str, object]:
    return {**ROW, "carrier": way}


def save_misbehaving(folder: Path, model_version: int) -> str:
    """Save a model that tells its version, and does what the carrier of a row says; returns the digest."""
    script = folder.parent / f"{folder.name}.py"
    script.write_text(_CODE + f"\nset_model(Misbehaving({score_of(model_version)}))\n")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(
            folder,
            python_model=str(script),
            signature=infer_signature(FEATURES, [[0.5, 0.5]]),
            input_example=FEATURES,
            pip_requirements=["mlflow"],
            metadata={"gauntlet": ROLES},
        )
    return digest_tree(folder)


_CODE = dedent(f"""
    import ctypes, os, signal, threading, time
    import numpy as np
    from mlflow.models import set_model
    from mlflow.pyfunc import PythonModel

    KEPT = []

    class Misbehaving(PythonModel):
        def __init__(self, score):
            self.score = score

        def predict(self, context, model_input, params=None):
            for way in model_input["carrier"]:
                self.do(way)
            return np.tile([1 - self.score, self.score], (len(model_input), 1))

        def do(self, way):
            if way == "raises":
                raise KeyError("no such carrier")
            if way == "hangs":
                time.sleep(600)
            if way == "holds the interpreter":
                ctypes.PyDLL(None).sleep(600)  # unlike CDLL it does not release it
            if way == "leaks":
                KEPT.append(bytearray(os.urandom(1)) * {LEAK_MB << 20})
            if way == "leaks by itself":
                threading.Thread(target=self.leak, daemon=True).start()
            if way == "crashes":
                os.kill(os.getpid(), signal.SIGSEGV)
            if way == "exits":
                os._exit(3)

        def leak(self):
            while True:
                KEPT.append(bytearray(os.urandom(1)) * (20 << 20))
                time.sleep(0.05)
""")
