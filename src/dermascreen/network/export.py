"""The network as ONNX, which runs without torch: decoded images in, logits and embeddings out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from dermascreen.artifacts.model.exported import DESCRIPTION_KEY, EXPORTED, OUTPUTS, PIXELS, WEIGHTS_KEY, open_session
from dermascreen.core.errors import ArchitectureError, ExportError
from dermascreen.core.files import replacing
from dermascreen.core.hashes import sha256_of
from dermascreen.network.backbones import RESNET50, first_line
from dermascreen.network.model import Network
from dermascreen.network.pixels import normalise
from dermascreen.network.weights import PACKAGES

TOLERANCE = 1e-4  # of the logit, times its size where that is above 1
SAFE = (RESNET50, *PACKAGES)  # architectures that a test exports
CHECKED = 4  # images of noise on which the two are compared


class FromPixels(nn.Module):
    """The network with decoded images, uint8 (N, size, size, 3), as its input, and OUTPUTS as its outputs."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        about = self.network.description
        embedding = self.network.backbone(normalise(pixels, about.mean, about.std))
        return self.network.decide(embedding), embedding


def noise(size: int, count: int) -> Tensor:
    """Images of noise, uint8 (count, size, size, 3), the same at each call."""
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8))


def require_export(network: Network) -> None:
    """Raise ArchitectureError, before any training, if `network` cannot be written as ONNX.

    It is tried, which takes some seconds, unless the architecture is one of SAFE.
    """
    about, learning = network.description, network.training
    if about.architecture in SAFE:
        return
    try:
        open_session(as_onnx(FromPixels(network).eval(), noise(about.image_size, 1), OUTPUTS))
    except Exception as error:  # of any type, since it runs the network's own code
        problem = f"{about.architecture} cannot be written as ONNX, which prediction needs ({first_line(error)})"
        raise ArchitectureError(problem) from error
    finally:
        network.train(learning)


def export(
    network: Network, file: Path = EXPORTED, weights: Path | None = None, description: Path | None = None
) -> None:
    """Move the network to the processor, and write it as ONNX.

    Input is PIXELS, uint8 (1, size, size, 3), and outputs are OUTPUTS, of shapes (1,) and (1, d). The file holds the
    hashes of `weights` and `description`, the files that the network was read from, if they are given.
    The same weights give the same bytes. Raises ExportError, and writes nothing, if a logit differs from torch's by
    more than TOLERANCE.
    """
    module, size = FromPixels(network).cpu().eval(), network.description.image_size
    read_from = {WEIGHTS_KEY: weights, DESCRIPTION_KEY: description}
    about = {key: sha256_of(path) for key, path in read_from.items() if path is not None}
    content = as_onnx(module, noise(size, 1), OUTPUTS, about)
    require_equal(module, content, torch.split(noise(size, CHECKED), 1), file)
    with replacing(file) as temporary:
        temporary.write_bytes(content)


def as_onnx(
    module: nn.Module,
    pixels: Tensor,
    outputs: Sequence[str],
    about: Mapping[str, str] | None = None,
    *,
    any_number: bool = False,
) -> bytes:
    """A module of one input in evaluation mode as an ONNX file, for inputs of the shape of `pixels`.

    `about` becomes its metadata. With `any_number`, for any number of images. What torch adds of its own source, paths
    of this machine among it, is left out.
    """
    dynamic = {PIXELS: {0: torch.export.Dim("images", min=1)}} if any_number else None
    program = torch.onnx.export(
        module, (pixels,), input_names=[PIXELS], output_names=[*outputs], dynamic_shapes=dynamic, verbose=False
    )
    written = cast("torch.onnx.ONNXProgram", program).model_proto  # None only where torch is to write the file
    graph = written.graph
    for part in (graph, *graph.node, *graph.value_info, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]
    for key, value in (about or {}).items():
        written.metadata_props.add(key=key, value=value)
    content: bytes = written.SerializeToString(deterministic=True)
    return content


@torch.inference_mode()
def require_equal(module: nn.Module, content: bytes, inputs: Sequence[Tensor], file: Path) -> float:
    """The largest difference of `module`'s first output, relative where it is above 1; ExportError above TOLERANCE."""
    session = open_session(content)
    expected = np.concatenate([module(pixels)[0].numpy() for pixels in inputs])
    found = np.concatenate([session.run(None, {PIXELS: pixels.numpy()})[0] for pixels in inputs])
    apart = float(np.max(np.abs(found - expected) / np.maximum(1.0, np.abs(expected))))
    if not apart <= TOLERANCE:
        raise ExportError(file, apart, TOLERANCE)
    return apart
