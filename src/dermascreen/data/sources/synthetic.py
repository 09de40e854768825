"""Synthetic skin lesions, so that the whole pipeline can run without real photographs.

A hidden malignancy between 0 and 1 drives border, number of colours and dots; its distributions for benign and
malignant lesions overlap, and each trait adds random variation of its own, so the classes can be learnt but not
without error. Skin, hair, rulers, position, size and darkness are independent of the label. Dots are finer than a
thumbnail shows, so that a network that sees the lesion is better than the shortcuts that it is compared with.
"""

import io
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from dermascreen.core.params import SyntheticParams

Plane = npt.NDArray[np.floating]  # single precision where it matters for speed

MALIGNANT = 0.45  # share of the lesions
TEST = 0.2  # share of each class
FEWEST_TEST = 2  # lesions of each class, however few there are
HIGH, LOW = (0.78, 0.07), (0.22, 0.07)  # mean and standard deviation of the malignancy of either class
RULERS = 0.15  # share of the lesions with a ruler at the edge
DOUBLES = 11  # one of this many photographs shows a lesion for the second time


class View(NamedTuple):
    """How a photograph of a lesion was taken and saved."""

    turn: float = 0.0  # radians
    zoom: float = 1.0
    brightness: float = 1.0
    quality: int = 90  # of the JPEG


class Photograph(NamedTuple):
    path: str  # such as train/benign/1.jpg
    content: bytes  # of the JPEG
    lesion: int


def photographs(params: SyntheticParams) -> Iterator[Photograph]:
    """Draw `params.images` photographs of `params.size` x `params.size` pixels; one machine always draws the same ones.

    About one lesion in ten is photographed twice: once as a copy of the same bytes, then in turn saved again (brighter,
    at a lower quality) and taken again (turned and zoomed). Two pairs in five are divided between train and test.
    """
    rng = np.random.default_rng(params.seed)
    lesions = params.images - max(3, params.images // DOUBLES)
    malignant = rng.permutation(lesions) < round(MALIGNANT * lesions)
    in_test = np.zeros(lesions, dtype=bool)
    for members in (np.flatnonzero(malignant), np.flatnonzero(~malignant)):
        in_test[members[: max(FEWEST_TEST, round(TEST * len(members)))]] = True

    shots = [(lesion, View(), bool(in_test[lesion])) for lesion in range(lesions)]
    for i, lesion in enumerate(rng.permutation(lesions)[: params.images - lesions].tolist()):
        if i == 0:
            view = View()
        elif i % 2:
            view = View(brightness=1.06, quality=60)
        else:
            view = View(turn=rng.uniform(0.5, 5.8), zoom=rng.uniform(0.8, 1.2), brightness=rng.uniform(0.95, 1.05))
        shots.append((lesion, view, bool(in_test[lesion]) ^ (i % 5 in (1, 2))))

    numbers: dict[str, int] = {}
    for lesion, view, test in (shots[i] for i in rng.permutation(len(shots))):  # near-duplicates are scattered
        folder = f"{'test' if test else 'train'}/{'malignant' if malignant[lesion] else 'benign'}"
        numbers[folder] = numbers.get(folder, 0) + 1
        content = _photograph((params.seed, lesion), bool(malignant[lesion]), params.size, view)
        yield Photograph(f"{folder}/{numbers[folder]}.jpg", content, lesion)


def _photograph(seed: tuple[int, int], malignant: bool, size: int, view: View) -> bytes:
    across = np.linspace(-1, 1, size, dtype=np.float32) / view.zoom
    x, y = np.meshgrid(across, across)
    image = _draw(np.random.default_rng(seed), malignant, *_turned(x, y, view.turn))
    sensor = np.random.default_rng((*seed, int(view.turn * 1e6)))  # its noise differs where a photograph is taken again
    image = image * view.brightness + 0.012 * sensor.standard_normal(image.shape, dtype=np.float32)
    file = io.BytesIO()
    Image.fromarray((image.clip(0, 1) * 255).astype(np.uint8)).save(file, "JPEG", quality=view.quality)
    return file.getvalue()


def _draw(rng: np.random.Generator, malignant: bool, x: Plane, y: Plane) -> Plane:
    """The colours of a lesion at the places `x`, `y`, which are from -1 to 1; shape (size, size, 3)."""
    malignancy = float(np.clip(rng.normal(*(HIGH if malignant else LOW)), 0, 1))

    def trait(least: float, most: float) -> float:
        """A measure that grows with malignancy, with random variation of its own."""
        return least + (most - least) * float(np.clip(malignancy + rng.normal(0, 0.1), 0, 1))

    skin = np.array([0.84, 0.66, 0.56]) + rng.normal(0, [0.05, 0.04, 0.04])
    shade = float(rng.uniform(0.04, 0.08)) * _waves(rng, x, y, 6, (0.3, 2.5)) + 0.012 * _waves(rng, x, y, 8, (5, 14))
    image = _colour(skin) + shade[..., None]

    centre, radius = rng.uniform(-0.35, 0.35, 2).tolist(), float(rng.uniform(0.3, 0.6))
    stretch, axis = float(rng.uniform(1, 1.7)), _angle(rng)
    dx, dy = x - centre[0], y - centre[1]
    u, v = _turned(dx / radius, dy / radius, axis)
    u, v = u / stretch**0.5, v * stretch**0.5
    around = np.arctan2(v, u)
    wobble = trait(0.01, 0.24)
    border = 1 + sum(wobble * float(rng.normal()) / k**0.5 * np.cos(k * around + _angle(rng)) for k in range(1, 9))
    inside = 1 / (1 + np.exp(((np.hypot(u, v) - border) / float(rng.uniform(0.04, 0.12))).clip(-30, 30)))

    darkness, variety = float(rng.uniform(0.25, 0.75)), trait(0.0, 0.3)
    lesion = _colour(skin * (1 - darkness) + np.array([0.35, 0.2, 0.13]) * darkness)
    lesion = lesion + float(rng.uniform(0.03, 0.07)) * _waves(rng, x, y, 8, (2, 10))[..., None]  # pigment network
    for tone in ([-0.5, -0.45, -0.35], [-0.2, 0.05, 0.3], [0.3, 0.0, 0.05]):  # black, blue-grey, red
        patch = (_waves(rng, x, y, 4, (1, 3.5)) - float(rng.uniform(0, 1))).clip(0, 1.5)
        lesion = lesion + patch[..., None] * _colour(np.array(tone) * variety * 1.5)
    dots = (_waves(rng, x, y, 12, (12, 22)) - 0.8).clip(0, 1)
    lesion = lesion * (1 - trait(0.0, 0.9) * dots)[..., None]
    image += inside[..., None] * (lesion - image)

    for _ in range(rng.poisson(2.5)):
        image *= 1 - float(rng.uniform(0.4, 0.8)) * _hair(rng, x, y)[..., None]
    if rng.binomial(1, RULERS):
        across, along = rng.permutation([x, y])
        ticks = np.cos(across * float(rng.uniform(25, 50))) * (along > float(rng.uniform(0.78, 0.92)))
        image *= 1 - 0.7 * ((ticks - 0.8) * 10).clip(0, 1)[..., None]
    return image


def _hair(rng: np.random.Generator, x: Plane, y: Plane) -> Plane:
    """How much a hair covers each place: a parabola from edge to edge, in a random position."""
    axis = _angle(rng)
    along, aside = _turned(x, y, axis)
    distance = np.abs(aside - float(rng.uniform(-0.5, 0.5)) * along**2 - float(rng.uniform(-0.9, 0.9)))
    return np.asarray((1 - distance / float(rng.uniform(0.015, 0.035))).clip(0, 1), dtype=np.float32)


def _waves(rng: np.random.Generator, x: Plane, y: Plane, count: int, rates: tuple[float, float]) -> Plane:
    """Smooth noise of about unit variance: plane waves with this many half periods across the image."""
    total = np.zeros_like(x)
    for _ in range(count):
        rate, axis = float(rng.uniform(*rates) * np.pi / 2), _angle(rng)
        total += np.cos(rate * math.cos(axis) * x + rate * math.sin(axis) * y + _angle(rng))
    return total * np.float32((2 / count) ** 0.5)


def _turned(x: Plane, y: Plane, angle: float) -> tuple[Plane, Plane]:
    """Coordinates along and across an axis at `angle` radians."""
    return x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)


def _angle(rng: np.random.Generator) -> float:
    return float(rng.uniform(0, 2 * np.pi))


def _colour(rgb: npt.NDArray[np.float64]) -> Plane:
    return rgb.astype(np.float32)
