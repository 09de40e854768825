"""The trained network as prediction runs it: an ONNX file, from decoded pixels to logit and embedding."""

from pathlib import Path

import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, InvalidGraph, InvalidProtobuf

from dermascreen.core.errors import BadTableError, MissingInputError

EXPORTED = Path("models/network.onnx")
PIXELS = "pixels"  # its input, uint8 (1, size, size, 3)
OUTPUTS = ("logit", "embedding")  # of shapes (1,) and (1, d)


def open_session(content: bytes) -> onnxruntime.InferenceSession:
    """What runs an ONNX file: on the processor and on one thread, so that a result depends on no number of threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def read_exported(file: Path = EXPORTED) -> onnxruntime.InferenceSession:
    """Open a network; raises a DermascreenError if the file is missing or broken."""
    try:
        session = open_session(file.read_bytes())
    except FileNotFoundError:
        raise MissingInputError(file) from None
    except (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf):
        raise BadTableError(file, "does not hold a network that can be run") from None
    if tuple(output.name for output in session.get_outputs()) != OUTPUTS:
        raise BadTableError(file, f"does not give {' and '.join(OUTPUTS)}")
    return session
