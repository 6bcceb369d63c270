"""MLServer's own types and codecs: what they build of values, and what they read in our answers.

Run by the Python of an environment that holds MLServer, which ours cannot: a line `[function, arguments]` in, a line
`{"returns": …}` or `{"raises": …}` out.
"""

from __future__ import annotations

import json
import sys
import traceback
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from mlserver import types
from mlserver.codecs import Base64Codec, DatetimeCodec, NumpyCodec, NumpyRequestCodec, PandasCodec, StringCodec

INPUTS = {
    "np": lambda name, values: NumpyCodec.encode_input(name, np.array(values)),
    "str": StringCodec.encode_input,
    "base64": lambda name, values: Base64Codec.encode_input(name, [value.encode() for value in values]),
    "datetime": lambda name, values: DatetimeCodec.encode_input(name, list(map(datetime.fromisoformat, values))),
}


def request(content: dict[str, Any]) -> str:
    """Of the types alone; they check what they are made of."""
    built: str = types.InferenceRequest(**content).model_dump_json()
    return built


def request_of_inputs(*inputs: tuple[str, str, list[Any]]) -> str:
    """Each encoded by the codec it names."""
    encoded = [INPUTS[codec](name, values) for codec, name, values in inputs]
    built: str = types.InferenceRequest(inputs=encoded).model_dump_json()
    return built


def request_of_frame(columns: dict[str, list[Any]], dtype: str | None = None) -> str:
    built: str = PandasCodec.encode_request(pd.DataFrame(columns, dtype=dtype)).model_dump_json()
    return built


def request_of_matrix(rows: list[list[float]]) -> str:
    built: str = NumpyRequestCodec.encode_request(np.array(rows)).model_dump_json()
    return built


def parsed(type_name: str, text: str) -> Any:
    """What the type holds of `text`; a field that it does not know is not in it."""
    return getattr(types, type_name).model_validate_json(text).model_dump(exclude_none=False)


def decoded(text: str) -> dict[str, Any]:
    """Each output of an InferenceResponse, by the codec of its datatype."""
    response = types.InferenceResponse.model_validate_json(text)
    codecs = [StringCodec if output.datatype == "BYTES" else NumpyCodec for output in response.outputs]
    outputs = zip(codecs, response.outputs, strict=True)
    return {output.name: np.asarray(codec.decode_output(output)).tolist() for codec, output in outputs}


FUNCTIONS = {
    function.__name__: function
    for function in (request, request_of_inputs, request_of_frame, request_of_matrix, parsed, decoded)
}


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # what MLServer may print is no answer
    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            answer = {"returns": FUNCTIONS[name](*arguments)}
        except Exception:
            answer = {"raises": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
