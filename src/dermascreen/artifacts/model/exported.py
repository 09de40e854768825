"""The trained network as prediction runs it: an ONNX file, from decoded pixels to logit and embedding."""

from pathlib import Path

import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NotImplemented,  # noqa: A004 - an error of ONNX Runtime's own
    RuntimeException,
)

from dermascreen.core.errors import BadTableError, MissingInputError

EXPORTED = Path("models/network.onnx")
PIXELS = "pixels"  # its input, uint8 (1, size, size, 3)
OUTPUTS = ("logit", "embedding")  # of shapes (1,) and (1, d)
BROKEN = (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NotImplemented, RuntimeException)
WEIGHTS_KEY = "weights"  # of the file's metadata: the sha256 of the weights that it was made from
DESCRIPTION_KEY = "description"  # likewise, of the description
AGAIN = "run `dvc repro`, or fetch the model again"
SILENT = 4  # ONNX Runtime logs nothing: what it says of a broken file would come before our sentence


def open_session(content: bytes, threads: int = 1) -> onnxruntime.InferenceSession:
    """What runs an ONNX file on the processor; with one thread a result does not depend on the number of cores.

    Raises one of BROKEN, or a ValueError, for what cannot be run.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = SILENT
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"], enable_fallback=0)


def read_exported(file: Path = EXPORTED) -> onnxruntime.InferenceSession:
    """Open a network; raises a DermascreenError if the file is missing or broken."""
    try:
        session = open_session(file.read_bytes())
    except FileNotFoundError:
        raise MissingInputError(file) from None
    except (*BROKEN, ValueError):
        raise BadTableError(file, "does not hold a network that can be run", AGAIN) from None
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if [one.name for one in inputs] != [PIXELS] or tuple(one.name for one in outputs) != OUTPUTS:
        raise BadTableError(file, f"is not a network from {PIXELS} to {' and '.join(OUTPUTS)}", AGAIN)
    return session
