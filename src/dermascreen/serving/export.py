"""The network as ONNX, for programs without torch."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from dermascreen.core.errors import ExportError, InputError
from dermascreen.core.files import replacing
from dermascreen.network.pixels import normalise
from dermascreen.prediction.predictor import Predictor

TOLERANCE = 1e-4  # of the logit, times its size where that is above 1
BATCH = 8
ROUNDS = 3


class _FromPixels(torch.nn.Module):
    """The network with decoded images, uint8 (N, size, size, 3), as its input."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.network = predictor.network
        self.temperature = predictor.calibration.temperature

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        about = self.network.description
        logit = self.network(normalise(pixels, about.mean, about.std))
        return logit, torch.sigmoid(logit / self.temperature)


def export(predictor: Predictor, file: Path) -> str:
    """Write `file`, and say how it compares with torch.

    Input `pixels`, uint8 (N, size, size, 3); outputs `logit` and the calibrated `probability`, each of shape (N,), of
    the image as it is: without TTA. Thresholds are in operating_points.json. Raises ExportError if logits differ by
    more than TOLERANCE, and InputError if `file` is a folder.
    """
    if file.is_dir():
        raise InputError(f"{file} is a folder; name a file to write.")
    size = predictor.size
    model = _FromPixels(predictor).cpu().eval()
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (BATCH, size, size, 3), dtype=np.uint8))
    with replacing(file) as temporary:
        torch.onnx.export(
            model, (pixels,), str(temporary), input_names=["pixels"], output_names=["logit", "probability"],
            dynamic_shapes={"pixels": {0: torch.export.Dim("images", min=1)}}, external_data=False, verbose=False,
        )  # fmt: skip
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(temporary.read_bytes(), options, providers=["CPUExecutionProvider"])
        with torch.inference_mode():
            expected = model(pixels)[0].numpy()
        found = session.run(["logit"], {"pixels": pixels.numpy()})[0]
        apart = float(np.max(np.abs(found - expected) / np.maximum(1.0, np.abs(expected))))
        if not apart <= TOLERANCE:
            raise ExportError(file, apart, TOLERANCE)
    with torch.inference_mode():
        ours = _fastest(lambda: model(pixels))
    theirs = _fastest(lambda: session.run(None, {"pixels": pixels.numpy()}))
    return (
        f"{file}: logits differ from torch's by {apart:.1e} at most ({TOLERANCE:g} is allowed). On "
        f"{torch.get_num_threads()} threads, {BATCH} images at a time: torch {BATCH / ours:.1f} images/s, onnxruntime "
        f"{BATCH / theirs:.1f} ({ours / theirs:.2f} times that)."
    )


def _fastest(step: Callable[[], object]) -> float:
    """Seconds of the fastest of ROUNDS, after a warm-up round."""
    times = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    return min(times[1:])
