"""The network and its calibration as ONNX, for other programs: any number of images at once."""

import time
from collections.abc import Callable
from pathlib import Path

import torch

from dermascreen.artifacts.model.calibration import Calibration
from dermascreen.artifacts.model.exported import PIXELS, open_session
from dermascreen.core.errors import InputError
from dermascreen.core.files import replacing
from dermascreen.network.export import TOLERANCE, FromPixels, as_onnx, noise, require_equal
from dermascreen.network.model import Network
from dermascreen.network.pixels import symmetries
from dermascreen.serving.bundle import Bundle

BATCH = 8
ROUNDS = 3


class _Calibrated(torch.nn.Module):
    def __init__(self, network: Network, calibration: Calibration) -> None:
        super().__init__()
        self.network = FromPixels(network)
        self.calibration = calibration

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        views = [*symmetries(pixels, (1, 2))] if self.calibration.tta else [pixels]
        logits, _ = self.network(torch.cat(views))
        logit = logits.reshape(len(views), -1).mean(dim=0)
        return logit, torch.sigmoid(logit / self.calibration.temperature)


def export(bundle: Bundle, file: Path) -> str:
    """Write `file`, and say how it compares with torch; the bundle must have been read with its network.

    Input `pixels`, uint8 (N, size, size, 3); outputs `logit` and the calibrated `probability`, each of shape (N,) and,
    if the calibration is of TTA, of the mean over the eight symmetries. Thresholds are in operating_points.json. Raises
    ExportError if logits differ from torch's, and InputError if `file` exists or does not end with .onnx.
    """
    if file.is_dir():
        raise InputError(f"{file} is a folder; name a file to write.")
    if file.exists():
        raise InputError(f"{file} already exists; name another file, or remove it.")
    if file.suffix != ".onnx":
        raise InputError(f"{file} does not end with .onnx; name a file that does.")
    if bundle.network is None:
        raise ValueError("The bundle was read without its network.")
    model = _Calibrated(bundle.network, bundle.predictor.calibration).cpu().eval()
    pixels = noise(bundle.predictor.size, BATCH)
    content = as_onnx(model, pixels, ["logit", "probability"], any_number=True)
    apart = require_equal(model, content, [pixels], file)
    with replacing(file) as temporary:
        temporary.write_bytes(content)
    session = open_session(content, torch.get_num_threads())
    with torch.inference_mode():
        ours = _fastest(lambda: model(pixels))
    theirs = _fastest(lambda: session.run(None, {PIXELS: pixels.numpy()}))
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
