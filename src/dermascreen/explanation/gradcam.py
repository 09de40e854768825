"""Grad-CAM: where the activations that supported a decision lie.

Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based localization", ICCV 2017
(arXiv 1610.02391). With A the activations of a layer, shape (C, h, w), and y the score explained:

    alpha_k = mean over i, j of dy / dA_kij        map_ij = relu(sum over k of alpha_k A_kij)

HiResCAM (Draelos and Carin 2020, arXiv 2011.08891) multiplies before it averages: map_ij = relu(sum over k of
dy / dA_kij A_kij), Captum's gradient times activation. If only a mean and a linear layer follow, the two are equal up
to a factor. Guided Grad-CAM multiplies the enlarged Grad-CAM map by guided backpropagation to the pixels.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from captum.attr import GuidedGradCam, LayerGradCam, LayerGradientXActivation
from torch import Tensor, nn
from torch.nn import functional

from dermascreen.artifacts.results.details.explanation import Checks, ExplainDetails, OutcomeCounts
from dermascreen.core.params import ExplainParams
from dermascreen.explanation.maps import Map, MapKind, frame_energy
from dermascreen.explanation.selection import OUTCOMES
from dermascreen.network.inference import as_input, prepare
from dermascreen.network.layers import GUIDED, find_layer, layer_for_maps, require_relus
from dermascreen.network.model import Network

TINY = 1e-12  # a map whose maximum is at most this is flat
SAME = 1e-5  # and so is one whose values differ by at most this share of it, which is more than 32-bit rounding


Attribute = Callable[[Tensor, Tensor], Tensor]  # images and signs to maps


def kind_of(params: ExplainParams, network: Network) -> MapKind:
    """The kind of map that section explain of params.yaml asks for."""
    return MapKind(layer_for_maps(network, params.layer), params.variant)


class _Score(nn.Module):
    """What is explained: the logit with the sign of the decision."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, signs: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        return signs * logits


class GradCam:
    """Maps of one network at one of its layers; hooks are in place only during a call."""

    def __init__(self, network: nn.Module, layer: nn.Module, variant: str = "grad_cam") -> None:
        self._attribute = VARIANTS[variant](_Score(network), layer)

    def __call__(self, images: Tensor, signs: Tensor) -> Tensor:
        """Maps of `network`'s inputs, not yet normalised; (N, h, w) of the layer, or of the images if guided.

        `signs`, shape (N,), is 1 where the decision for malignant is explained and -1 where that for benign is: the
        score is signs * logit, not its sigmoid, whose gradient vanishes where the network is sure.
        """
        return self._attribute(images, signs).detach()


def _grad_cam(score: nn.Module, layer: nn.Module) -> Attribute:
    captum = LayerGradCam(score, layer)
    return lambda images, signs: captum.attribute(
        images, additional_forward_args=signs, relu_attributions=True
    ).squeeze(1)  # fmt: skip


def _hires_cam(score: nn.Module, layer: nn.Module) -> Attribute:
    captum = LayerGradientXActivation(score, layer)
    return lambda images, signs: captum.attribute(images, additional_forward_args=signs).sum(1).relu()


def _guided_grad_cam(score: nn.Module, layer: nn.Module) -> Attribute:
    captum = GuidedGradCam(score, layer)

    def attribute(images: Tensor, signs: Tensor) -> Tensor:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Setting backward hooks on ReLU")  # they are removed afterwards
            seen = images.clone().requires_grad_()
            found = captum.attribute(seen, additional_forward_args=signs, interpolate_mode="bilinear")
        maps: Tensor = found.sum(1).relu()
        return maps

    return attribute


VARIANTS: Mapping[str, Callable[[nn.Module, nn.Module], Attribute]] = {
    "grad_cam": _grad_cam,
    "hires_cam": _hires_cam,
    GUIDED: _guided_grad_cam,
}


def explain(
    network: Network,
    kind: MapKind,
    pixels: npt.NDArray[np.uint8],
    rows: npt.NDArray[np.intp],
    signs: npt.NDArray[np.floating],
    *,
    batch_size: int,
) -> Iterator[Map]:
    """Yield the map of each of `rows` of `pixels`, uint8 (N, H, W, 3), in their order, at the size of the images.

    `signs` are those of `GradCam`, shape (len(rows),). Computed in 32 bits in evaluation mode, on the GPU if there is
    one; holds one batch at a time. Raises LayerError if there is no such layer or its output is not N x C x h x w.
    """
    network = prepare(network)
    cam = None
    for start in range(0, len(rows), batch_size):
        batch = slice(start, start + batch_size)
        images = as_input(network, pixels[rows[batch]])
        cam = cam or make_cam(network, kind, images[:1])
        maps, flat = finish(cam(images, torch.from_numpy(signs[batch]).to(images)), (images.shape[2], images.shape[3]))
        yield from map(Map, maps.cpu().numpy(), flat.tolist())


def make_cam(network: nn.Module, kind: MapKind, image: Tensor) -> GradCam:
    """Maps of that kind; `image`, shape (1, 3, H, W), is for `find_layer`, which raises LayerError.

    Raises VariantError as `require_relus` does.
    """
    require_relus(network, kind.variant)
    return GradCam(network, find_layer(network, kind.layer, image), kind.variant)


def finish(maps: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Enlarge non-negative maps (N, h, w) to `size`, and divide each by its maximum.

    Returns the maps, shape (N, *size), and which are flat, shape (N,): nothing above zero, or the same everywhere.
    Those are returned as zeros, so that rounding errors are never stretched to look like a finding.
    """
    highest, lowest = maps.amax((1, 2)), maps.amin((1, 2))
    flat = (highest <= TINY) | (highest - lowest <= SAME * highest)
    large = functional.interpolate(maps.unsqueeze(1), size, mode="bilinear", align_corners=False).squeeze(1)
    large = large / large.amax((1, 2), keepdim=True).clamp_min(TINY)
    return large.masked_fill(flat.view(-1, 1, 1), 0.0), flat


def summarise(
    kind: MapKind,
    energies: Sequence[float | None],
    outcomes: Sequence[str],
    size: tuple[int, int],
    believable: Checks,
) -> ExplainDetails:
    """Count maps, flat maps and outcomes, and average the share of a map that lies in the frame.

    `energies` are the `frame_energy` of each map, None of a flat one, and `size` is that of the maps. The mean
    `frame_energy` is None where all are flat; `frame_energy_uniform` is that of a uniform map.
    """
    known = [energy for energy in energies if energy is not None]
    return ExplainDetails(
        layer=kind.layer,
        variant=kind.variant,
        images=len(energies),
        flat_maps=len(energies) - len(known),
        outcomes=OutcomeCounts(**{outcome: outcomes.count(outcome) for outcome in OUTCOMES}),
        frame_energy=float(np.mean(known)) if known else None,
        frame_energy_uniform=frame_energy(np.ones(size, dtype=np.float32)),
        believable=believable,
    )
