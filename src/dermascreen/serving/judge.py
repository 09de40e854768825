"""Photographs in, judgements out: probability, decision, and what speaks against relying on them."""

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np

from dermascreen.errors import ImageError
from dermascreen.evidence.calibration import with_interval
from dermascreen.explanation.gradcam import Map, explain, frame, frame_energy
from dermascreen.images.arrays import Pixels, resize
from dermascreen.images.photograph import show
from dermascreen.model.inference import look
from dermascreen.model.reference import Neighbour
from dermascreen.serving.bundle import BENIGN, Bundle

BATCH_SIZE = 32
NEAREST = 3  # training images of either class

DARK = 32  # a pixel is dark if no channel is above this
MUCH_DARK = 0.2  # of all pixels: a frame of the instrument
SQUEEZED = 1.5  # longer side over shorter


class Photograph(NamedTuple):
    """A photograph to judge: what it is called, and how its file is read; `read` may raise OSError or ImageError."""

    name: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Judgement:
    """What the model says of a photograph."""

    name: str
    logit: float
    probability: float  # calibrated
    low: float  # ends of the probability's interval
    high: float
    point: str  # the operating point that `decision` is at
    decision: str  # malignant, benign or refer
    caveat: str | None  # what speaks against relying on any decision at that point
    decisions: dict[str, str]  # at every operating point
    warnings: tuple[str, ...]
    nearest: tuple[Neighbour, ...]  # training images, NEAREST benign ones and as many malignant
    pixels: Pixels  # what the network saw; uint8 (size, size, 3)
    map: Map | None  # of the evidence for the decision, if it was asked for


@dataclass(frozen=True)
class Failure:
    """A photograph that could not be judged, and why."""

    name: str
    problem: str


class _Decoded(NamedTuple):
    name: str
    pixels: Pixels
    warnings: list[str]


class Judge:
    """A model in use; safe to call from several threads."""

    def __init__(
        self, bundle: Bundle, *, point: str | None = None, explained: bool = False, batch_size: int = BATCH_SIZE
    ) -> None:
        self.bundle = bundle
        self.point = point or bundle.point
        self._explained = explained
        self._batch_size = batch_size
        self._one_at_a_time = threading.Lock()  # a map's hooks sit in the network, for any thread that calls it

    def __call__(self, photographs: Iterable[Photograph]) -> Generator[Judgement | Failure]:
        """Judge photographs in their order; one that fails is a Failure, and the others go on.

        Reads and decodes with all cores while the network works, and holds two batches at a time.
        """
        source = iter(photographs)
        waiting: deque[list[Future[_Decoded | Failure]]] = deque()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            while batch := list(islice(source, self._batch_size)):
                waiting.append([pool.submit(self._decode, photograph) for photograph in batch])
                if len(waiting) > 1:
                    yield from self._judge([future.result() for future in waiting.popleft()])
            for batch_left in waiting:
                yield from self._judge([future.result() for future in batch_left])

    def _decode(self, photograph: Photograph) -> _Decoded | Failure:
        try:
            shown = show(photograph.name, photograph.read())
        except ImageError as error:
            return Failure(photograph.name, error.problem)
        except OSError as error:
            return Failure(photograph.name, f"cannot be read ({error.strerror or error})")
        size, sides = self.bundle.size, (shown.width, shown.height)
        warnings = list(shown.warnings)
        if min(sides) < size:
            warnings.append(f"It is {shown.width} x {shown.height} pixels, and the network was made for {size} a side.")
        if max(sides) > SQUEEZED * min(sides):
            warnings.append(f"It is {shown.width} x {shown.height} pixels and was squeezed to a square.")
        pixels = resize(shown.image, size)
        dark = float(np.mean(pixels.max(axis=2) <= DARK))
        if dark > MUCH_DARK:
            warnings.append(f"{dark:.0%} of it is dark, such as the frame of an instrument.")
        return _Decoded(photograph.name, pixels, warnings)

    def _judge(self, batch: Sequence[_Decoded | Failure]) -> Iterator[Judgement | Failure]:
        decoded = [one for one in batch if isinstance(one, _Decoded)]
        judged = iter(self._judge_decoded(decoded)) if decoded else iter(())
        for one in batch:
            yield one if isinstance(one, Failure) else next(judged)

    def _judge_decoded(self, decoded: list[_Decoded]) -> list[Judgement]:
        bundle = self.bundle
        pixels = np.stack([one.pixels for one in decoded])
        with self._one_at_a_time:
            seen = look(bundle.network, pixels, bundle.tta)
        probability, low, high = with_interval(seen.logits, bundle.temperature, bundle.intervals)
        # Each alone, as its logit: what is said of a photograph does not depend on which others are given with it.
        distances = np.concatenate([bundle.reference.distances(features[np.newaxis]) for features in seen.features])
        unusual = bundle.reference.unusualness(distances)
        decisions = [{point: bundle.decide(value, point) for point in bundle.points} for value in probability]
        maps = self._maps(pixels, [taken[self.point] for taken in decisions])
        judgements, caveat = [], bundle.caveat(self.point)
        for place, one in enumerate(decoded):
            warnings = list(one.warnings)
            if unusual[place] > bundle.reference.limit:
                warnings.insert(0, "It is unlike the photographs that the model was trained on; do not rely on this.")
            if (
                (shown := maps[place]) is not None
                and not shown.flat
                and frame_energy(shown.values) > _even_share(shown)
            ):
                warnings.append("More of the evidence lies in the frame than would by chance: a ruler, hair, a corner?")
            judgements.append(
                Judgement(
                    one.name, float(seen.logits[place]), float(probability[place]), float(low[place]),
                    float(high[place]), self.point, decisions[place][self.point], caveat, decisions[place],
                    tuple(warnings),
                    tuple(
                        neighbour
                        for label in (0, 1)
                        for neighbour in bundle.reference.nearest(distances[place], label, NEAREST)
                    ),
                    one.pixels, maps[place],
                )
            )  # fmt: skip
        return judgements

    def _maps(self, pixels: Pixels, decisions: list[str]) -> list[Map] | list[None]:
        """The evidence for what was decided; what is referred is explained as malignant."""
        if not self._explained:
            return [None] * len(pixels)
        signs = np.where([decision == BENIGN for decision in decisions], -1.0, 1.0)
        rows = np.arange(len(pixels))
        with self._one_at_a_time:
            return list(
                explain(self.bundle.network, self.bundle.maps, pixels, rows, signs, batch_size=self._batch_size)
            )


def _even_share(shown: Map) -> float:
    """The share of the frame in a map that is the same everywhere."""
    return float(frame(*shown.values.shape).mean())
