"""Whether to believe the maps: what a map must do if it shows what the network's decision rests on.

Each check gives a number, a criterion that was set beforehand, and whether the number meets it. No check
proves that maps are right; one that fails is a reason not to believe them. Where too few maps show anything, `value` is
None and the check has failed. Means over images have a 95 % interval, by Student's t distribution.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from captum.metrics import infidelity, sensitivity_max
from scipy.stats import spearmanr, ttest_1samp
from torch import Tensor, nn
from torchvision.transforms.v2.functional import gaussian_blur
from tqdm import tqdm

from dermascreen.artifacts.dataset.images import Pixels
from dermascreen.artifacts.results.details.explanation import Check, Checks, Relation
from dermascreen.evidence.clusters import CONFIDENCE
from dermascreen.evidence.frame import frame_mask
from dermascreen.explanation.gradcam import finish, make_cam
from dermascreen.explanation.maps import MapKind
from dermascreen.network.backbones import Layer
from dermascreen.network.inference import as_input, prepare
from dermascreen.network.model import Network
from dermascreen.network.pixels import symmetries

CRITERIA: Mapping[str, tuple[Relation, float]] = {
    "randomisation": ("within", 0.3),  # mean rank correlation with maps of a network with shuffled weights
    "perturbation_random": ("interval above", 0.0),  # advantage over a random map
    "perturbation_centre": ("interval above", 0.0),  # the same, over a Gaussian in the centre
    "lesion_energy": ("interval above", 0.0),  # energy in the pseudo mask minus that of a uniform map
    "frame_energy": ("at most", 0.0),  # energy in the frame minus that of a uniform map
    "infidelity": ("below", 1.0),  # divided by that of a random map
    "sensitivity": ("at most", 0.5),  # relative change of a map under noise
    "symmetry": ("at least", 0.5),  # rank correlation of the maps of an image rotated and flipped
}
ROUNDING = 1e-6  # of means over maps in single precision: so much beyond a criterion is not beyond it
FEWEST = 3  # maps that show something; with fewer, a check finds nothing
STEPS = 10  # parts that an image is deleted or inserted in
SAMPLES = 5  # random draws of noise, and of squares, for each image
NOISE = 2 / 255  # to either side of every pixel value in [0, 1]
SQUARE = 1 / 4  # of a side: the squares that are removed to see how the logit falls
BLUR = 1 / 8  # of a side: the standard deviation of the blur that replaces what is removed
CENTRE = 1 / 4  # of a side: the standard deviation of the Gaussian in the centre

Values = npt.NDArray[np.float64]  # of each image; shape (n,)


class Evidence(NamedTuple):
    """The images that are checked, with their maps."""

    images: Tensor  # as the network takes them; (n, 3, H, W)
    signs: Tensor  # 1 where malignant is explained, -1 where benign is; (n,)
    raw: Tensor  # maps at the layer's own size; (n, h, w)
    maps: Tensor  # the same, finished: (n, H, W), with maximum 1
    shows: Tensor  # which maps are not flat; bool (n,)


class Found(NamedTuple):
    """What a check found, with its interval if it has one; None where too few maps show anything."""

    value: float | None
    low: float | None = None
    high: float | None = None


def check(
    network: Network, kind: MapKind, pixels: Pixels, signs: npt.NDArray[np.floating], *, seed: int, batch_size: int
) -> Checks:
    """All checks of the maps of images, uint8 (n, H, W, 3); `signs`, shape (n,), are as for `GradCam`."""
    network = prepare(network)
    images = as_input(network, pixels)
    evidence = gather(network, kind, images, torch.from_numpy(signs).to(images), batch_size)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(evidence.raw.shape, generator=generator).to(images)
    random, _ = finish(noise, (images.shape[2], images.shape[3]))
    centre = centre_map(images.shape[2], images.shape[3]).to(images).expand_as(random)

    found: dict[str, Found] = {}
    bar = tqdm(total=5, desc="check maps", unit="check", disable=None)
    rho = randomisation(network, kind, evidence, seed, batch_size)
    found["randomisation"] = _mean(rho["all"], evidence)
    bar.update()
    own, *others = (
        perturbation(network, evidence, order, seed, batch_size) for order in (evidence.maps, random, centre)
    )
    for name, other in zip(("random", "centre"), others, strict=True):
        found[f"perturbation_{name}"] = _mean(own - other, evidence)
    bar.update()
    found["lesion_energy"] = _mean(lesion_advantage(pixels, evidence.maps), evidence)
    found["frame_energy"] = _mean(frame_advantage(evidence.maps), evidence)
    ours, by_chance = (infidelities(network, evidence, maps, seed, batch_size) for maps in (evidence.maps, random))
    found["infidelity"] = _ratio(ours, by_chance, evidence)
    bar.update()
    found["sensitivity"] = _mean(sensitivities(network, kind, evidence, seed, batch_size), evidence)
    bar.update()
    found["symmetry"] = _mean(symmetry(network, kind, evidence, batch_size), evidence)
    bar.update()
    bar.close()
    checks = {
        name: Check(
            **one._asdict(),
            by_layer=_means(rho, evidence) if name == "randomisation" else None,
            relation=CRITERIA[name][0],
            criterion=CRITERIA[name][1],
            passed=passes(one, *CRITERIA[name]),
        )
        for name, one in found.items()
    }
    failed = tuple(name for name, one in checks.items() if not one.passed)
    return Checks(
        images=len(pixels),
        flat=int((~evidence.shows).sum()),
        passed=len(checks) - len(failed),
        failed=failed,
        checks=checks,
    )


def passes(found: Found, relation: Relation, criterion: float) -> bool:
    """Whether what was found is in that relation to the criterion."""
    if (value := found.value) is None:
        return False
    met = {
        "within": abs(value) <= criterion,
        "interval above": found.low is not None and found.low > criterion,
        "at least": value >= criterion,
        "below": value < criterion,
        "at most": value <= criterion + ROUNDING,
    }
    return met[relation]


def gather(network: nn.Module, kind: MapKind, images: Tensor, signs: Tensor, batch_size: int) -> Evidence:
    """The maps of `images` as the checks need them."""
    raw = _maps(network, kind, images, signs, batch_size)
    maps, flat = finish(raw, (images.shape[2], images.shape[3]))
    return Evidence(images, signs, raw, maps, ~flat)


def _maps(network: nn.Module, kind: MapKind, images: Tensor, signs: Tensor, batch_size: int) -> Tensor:
    cam = make_cam(network, kind, images[:1])
    return torch.cat(list(map(cam, torch.split(images, batch_size), torch.split(signs, batch_size))))


def randomisation(network: Network, kind: MapKind, evidence: Evidence, seed: int, batch_size: int) -> dict[str, Values]:
    """Rank correlation of each map with that of the network after layers are shuffled, one more each time.

    From the head to the first layer, the values of each tensor are permuted, so that weights and activations keep their
    scale. A map that does not change does not depend on what the network has learnt (Adebayo and others 2018, "Sanity
    checks for saliency maps", arXiv 1810.03292, who draw new weights instead).
    Returns shape (n,) under each layer's name, and under `all` the last; 0 where either map is constant.
    """
    shuffled = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(seed)
    parts: dict[str, nn.Module | Layer] = {
        "head": shuffled.head,
        **{layer.name: layer for layer in reversed(shuffled.layers())},
    }
    correlation: dict[str, Values] = {}
    for name, part in parts.items():
        with torch.no_grad():
            for tensor in [*part.parameters(), *part.buffers()]:
                if tensor.is_floating_point():
                    order = torch.randperm(tensor.numel(), generator=generator).to(tensor.device)
                    tensor.copy_(tensor.flatten()[order].view_as(tensor))
        maps = _maps(shuffled, kind, evidence.images, evidence.signs, batch_size)
        correlation[name] = rank_correlation(evidence.raw, maps)
    return correlation | {"all": correlation[[*parts][-1]]}


def rank_correlation(first: Tensor, second: Tensor) -> Values:
    """Spearman's rank correlation of each pair of maps (n, h, w); 0 where one is constant."""
    pairs = zip(first.flatten(1).cpu().numpy(), second.flatten(1).cpu().numpy(), strict=True)
    return np.array([0.0 if np.ptp(one) == 0 or np.ptp(two) == 0 else spearmanr(one, two)[0] for one, two in pairs])


def perturbation(network: nn.Module, evidence: Evidence, order: Tensor, seed: int, batch_size: int) -> Values:
    """Insertion minus deletion, with pixels in a map's order: high if the first pixels carry the decision.

    The image is divided into STEPS equal parts, those highest in `order` first. Insertion is the mean probability of
    the explained class while they are put onto the blurred image one by one, deletion the same while they are blurred
    (Petsiuk and others 2018, "RISE", arXiv 1806.07421). Ties are broken at random. From -1 to 1; `order` is (n, H, W).
    """
    images = evidence.images
    blurred = blur(images)
    noise = torch.rand(order.shape, generator=torch.Generator().manual_seed(seed)).to(order)
    by_chance = noise.flatten(1).argsort(1)
    ranked = by_chance.gather(1, order.flatten(1).gather(1, by_chance).argsort(dim=1, descending=True, stable=True))
    rank = ranked.argsort(1).view_as(order).unsqueeze(1)
    total = order[0].numel()
    difference = torch.zeros(len(images), dtype=torch.float64, device=images.device)
    for step in range(STEPS + 1):
        first = rank < total * step // STEPS
        for mask, sign in ((first, 1.0), (~first, -1.0)):
            mixed = torch.where(mask, images, blurred)
            difference += sign * _certainty(network, mixed, evidence.signs, batch_size) / (STEPS + 1)
    return np.asarray(difference.cpu())


@torch.no_grad()
def _certainty(network: nn.Module, images: Tensor, signs: Tensor, batch_size: int) -> Tensor:
    logits = torch.cat([network(part) for part in torch.split(images, batch_size)])
    return torch.sigmoid((signs * logits).double())


def blur(images: Tensor) -> Tensor:
    """Images (n, 3, H, W), blurred until no lesion is visible."""
    sigma = BLUR * min(images.shape[2:])
    kernel = 2 * round(1.5 * sigma) + 1  # no larger than the image
    blurred: Tensor = gaussian_blur(images, [kernel, kernel], [sigma, sigma])
    return blurred


def centre_map(height: int, width: int) -> Tensor:
    """A Gaussian in the centre, where most lesions are: what a map has to be better than; (height, width)."""
    down, across = (torch.linspace(-0.5, 0.5, size) / CENTRE for size in (height, width))
    return torch.exp(-(down[:, None] ** 2 + across**2) / 2)


def lesion_advantage(pixels: Pixels, maps: Tensor) -> Values:
    """A map's energy in the pseudo mask minus the mask's share of the image; shape (n,), from -1 to 1."""
    masks = np.stack([pseudo_mask(image) for image in pixels])
    return np.asarray(_energy(maps, masks) - masks.mean((1, 2)))


def pseudo_mask(image: Pixels) -> npt.NDArray[np.bool_]:
    """The darker side of Otsu's threshold of the grey image: often the lesion, but not an outline drawn by a person."""
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (5, 5), 0)
    threshold, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return np.asarray(grey <= threshold)


def frame_advantage(maps: Tensor) -> Values:
    """A map's energy in the frame minus the frame's share of the image; shape (n,)."""
    outer = frame_mask(maps.shape[1], maps.shape[2])
    return _energy(maps, np.broadcast_to(outer, maps.shape)) - float(outer.mean())


def _energy(maps: Tensor, masks: npt.NDArray[np.bool_]) -> Values:
    values = maps.double().cpu().numpy()
    return np.asarray((values * masks).sum((1, 2)) / np.maximum(values.sum((1, 2)), np.finfo(np.float64).tiny))


def infidelities(network: nn.Module, evidence: Evidence, maps: Tensor, seed: int, batch_size: int) -> Values:
    """How badly a map predicts the fall of the logit when squares of the image are blurred; shape (n,).

    Captum's infidelity, scaled to each map's best (Yeh and others 2019, arXiv 1901.09392).
    """
    generator = torch.Generator().manual_seed(seed)
    height, width = evidence.images.shape[2:]
    side = max(1, round(SQUARE * min(height, width)))

    def take_squares(images: Tensor) -> tuple[Tensor, Tensor]:
        squares = torch.zeros(len(images), 1, height, width)
        tops = torch.randint(height - side + 1, (len(images),), generator=generator)
        lefts = torch.randint(width - side + 1, (len(images),), generator=generator)
        for square, top, left in zip(squares, tops.tolist(), lefts.tolist(), strict=True):
            square[0, top : top + side, left : left + side] = 1
        change = (images - blur(images)) * squares.to(images)
        return squares.to(images).expand_as(images), images - change

    def of_batch(images: Tensor, signs: Tensor, mapped: Tensor) -> Tensor:
        found: Tensor = infidelity(
            lambda images, signs: signs * network(images),
            take_squares, images, mapped.unsqueeze(1).expand_as(images) / 3, additional_forward_args=signs,
            n_perturb_samples=SAMPLES, max_examples_per_batch=len(images), normalize=True,
        )  # fmt: skip
        return found

    with torch.no_grad():
        return _in_batches(of_batch, batch_size, evidence.images, evidence.signs, maps)


def sensitivities(network: Network, kind: MapKind, evidence: Evidence, seed: int, batch_size: int) -> Values:
    """The largest relative change of a map under invisible noise; shape (n,); Captum's (Yeh and others 2019)."""
    cam = make_cam(network, kind, evidence.images[:1])
    radius = NOISE / max(network.description.std)

    def explained(given: Tensor | tuple[Tensor], additional_forward_args: Tensor | tuple[Tensor]) -> tuple[Tensor]:
        """Captum passes what it was given, or a tuple of it, and expects a tuple."""
        images, signs = (one[0] if isinstance(one, tuple) else one for one in (given, additional_forward_args))
        return (cam(images, signs),)

    def of_batch(images: Tensor, signs: Tensor) -> Tensor:
        found: Tensor = sensitivity_max(
            explained, images, perturb_radius=radius, n_perturb_samples=SAMPLES, max_examples_per_batch=len(images),
            additional_forward_args=signs,
        )  # fmt: skip
        return found

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _in_batches(of_batch, batch_size, evidence.images, evidence.signs)


def _in_batches(function: Callable[..., Tensor], batch_size: int, *parts: Tensor) -> Values:
    found = map(function, *(torch.split(part, batch_size) for part in parts))
    return np.asarray(torch.cat(list(found)).double().cpu())


def symmetry(network: nn.Module, kind: MapKind, evidence: Evidence, batch_size: int) -> Values:
    """Mean rank correlation of a map with those of the image's seven other symmetries, turned back; shape (n,)."""
    views = (_maps(network, kind, view, evidence.signs, batch_size) for view in symmetries(evidence.images))
    first, *others = (undo(maps) for undo, maps in zip(_undone(), views, strict=True))
    return np.asarray(np.mean([rank_correlation(first, other) for other in others], axis=0))


def _undone() -> Iterator[Callable[[Tensor], Tensor]]:
    """The inverse of each of `symmetries`, for maps (n, h, w)."""
    for turns in range(4):
        yield lambda maps, turns=turns: maps.rot90(-turns, dims=(1, 2))  # type: ignore[misc]
        yield lambda maps, turns=turns: maps.flip(2).rot90(-turns, dims=(1, 2))  # type: ignore[misc]


def _mean(values: Values, evidence: Evidence) -> Found:
    """The mean of `values` over the maps that show something, and its interval."""
    chosen = values[evidence.shows.cpu().numpy()]
    if len(chosen) < FEWEST:
        return Found(None)
    if np.ptp(chosen) == 0:
        return Found(*(float(chosen[0]),) * 3)
    interval = ttest_1samp(chosen, 0.0).confidence_interval(CONFIDENCE)
    return Found(float(chosen.mean()), float(interval.low), float(interval.high))


def _means(values: dict[str, Values], evidence: Evidence) -> dict[str, float | None]:
    shows = evidence.shows.cpu().numpy()
    return {
        name: float(part[shows].mean()) if shows.sum() >= FEWEST else None
        for name, part in values.items() if name != "all"
    }  # fmt: skip


def _ratio(own: Values, other: Values, evidence: Evidence) -> Found:
    shows = evidence.shows.cpu().numpy()
    if shows.sum() < FEWEST or not other[shows].mean() > 0:
        return Found(None)
    return Found(float(own[shows].mean() / other[shows].mean()))
