"""Photographs in, predictions out: probability, decision, and what speaks against relying on them."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np

from dermascreen.artifacts.dataset.images import Pixels
from dermascreen.core.errors import ImageError
from dermascreen.core.params import PreprocessParams
from dermascreen.core.threads import cores
from dermascreen.data.photographs.framing import DARK, field_of_view, to_input
from dermascreen.data.photographs.photograph import Picture, show
from dermascreen.evidence.frame import frame_share
from dermascreen.evidence.operating_points import BENIGN, Decisions
from dermascreen.explanation.maps import Map, frame_energy
from dermascreen.prediction.reference import Neighbour
from dermascreen.serving.bundle import Bundle

BATCH_SIZE = 32
NEAREST = 3  # training images of either class

MUCH_DARK = 0.2  # of all pixels: a frame of the instrument
SQUEEZED = 1.5  # longer side over shorter


class Photograph(NamedTuple):
    """A photograph: what it is called, and how its file is read; `read` may raise OSError or ImageError."""

    name: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Prediction:
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
    """A photograph that could not be predicted, and why."""

    name: str
    problem: str


class _Decoded(NamedTuple):
    name: str
    pixels: Pixels
    warnings: list[str]


class PhotographPredictor:
    """A model in use, with maps if the bundle has the network for them; safe to call from several threads."""

    def __init__(self, bundle: Bundle, *, point: str | None = None, batch_size: int = BATCH_SIZE) -> None:
        self.bundle = bundle
        self.point = point or bundle.points.in_use
        self._batch_size = batch_size
        self._one_at_a_time = threading.Lock()  # a prediction takes all cores, and a map's hooks sit in the network

    def __call__(self, photographs: Iterable[Photograph]) -> Generator[Prediction | Failure]:
        """Predict photographs in their order; one that fails is a Failure, and the others go on.

        Reads and decodes with all cores while the network works, and holds two batches at a time.
        """
        source = iter(photographs)
        waiting: deque[list[Future[_Decoded | Failure]]] = deque()
        with ThreadPoolExecutor(cores()) as pool:
            while batch := list(islice(source, self._batch_size)):
                waiting.append([pool.submit(self._decode, photograph) for photograph in batch])
                if len(waiting) > 1:
                    yield from self._predict([future.result() for future in waiting.popleft()])
            for batch_left in waiting:
                yield from self._predict([future.result() for future in batch_left])

    def _decode(self, photograph: Photograph) -> _Decoded | Failure:
        try:
            shown = show(photograph.name, photograph.read())
        except ImageError as error:
            return Failure(photograph.name, error.problem)
        except OSError as error:
            return Failure(photograph.name, f"cannot be read ({error.strerror or error})")
        params = self.bundle.predictor.description.preprocess
        warnings = [*shown.warnings, *_about_shape(shown, params)]
        pixels = to_input(shown.image, params)
        dark = float(np.mean(pixels.max(axis=2) <= DARK))
        if dark > MUCH_DARK:
            warnings.append(f"{dark:.0%} of it is dark, such as the frame of an instrument.")
        return _Decoded(photograph.name, pixels, warnings)

    def _predict(self, batch: Sequence[_Decoded | Failure]) -> Iterator[Prediction | Failure]:
        decoded = [one for one in batch if isinstance(one, _Decoded)]
        predicted = iter(self._predict_decoded(decoded)) if decoded else iter(())
        for one in batch:
            yield one if isinstance(one, Failure) else next(predicted)

    def _predict_decoded(self, decoded: list[_Decoded]) -> list[Prediction]:
        bundle, reference = self.bundle, self.bundle.predictor.reference
        pixels = np.stack([one.pixels for one in decoded])
        with self._one_at_a_time:
            found = bundle.predictor.predict(pixels)
        maps = self._maps(pixels, found.decisions[self.point])
        predictions, caveat = [], bundle.caveat(self.point)
        for place, one in enumerate(decoded):
            warnings = list(one.warnings)
            if found.novelty[place] > reference.limit:
                warnings.insert(0, "It is unlike the photographs that the model was trained on; do not rely on this.")
            if (
                (shown := maps[place]) is not None
                and not shown.flat
                and frame_energy(shown.values) > frame_share(*shown.values.shape)
            ):
                warnings.append("More of the evidence lies in the frame than would by chance: a ruler, hair, a corner?")
            decisions = {name: str(decided[place]) for name, decided in found.decisions.items()}
            predictions.append(
                Prediction(
                    one.name, float(found.logit[place]), float(found.probability[place]), float(found.low[place]),
                    float(found.high[place]), self.point, decisions[self.point], caveat, decisions, tuple(warnings),
                    tuple(
                        neighbour
                        for label in (0, 1)
                        for neighbour in reference.nearest(found.distances[place], label, NEAREST)
                    ),
                    one.pixels, maps[place],
                )
            )  # fmt: skip
        return predictions

    def _maps(self, pixels: Pixels, decisions: Decisions) -> list[Map] | list[None]:
        """The evidence for what was decided; what is referred is explained as malignant."""
        bundle = self.bundle
        if bundle.network is None:
            return [None] * len(pixels)
        from dermascreen.explanation.gradcam import explain  # noqa: PLC0415 - torch is slow to import

        signs = np.where(decisions == BENIGN, -1.0, 1.0)
        rows = np.arange(len(pixels))
        with self._one_at_a_time:
            return list(explain(bundle.network, bundle.maps, pixels, rows, signs, batch_size=self._batch_size))


def _about_shape(shown: Picture, params: PreprocessParams) -> Iterator[str]:
    """What is lost when a photograph becomes the network's input, in sentences."""
    whole = (0, 0, *shown.image.size)
    left, upper, right, lower = field_of_view(shown.image) if params.field_of_view == "crop" else whole
    halved = shown.width / shown.image.width  # 2 of a very large one
    width, height = round((right - left) * halved), round((lower - upper) * halved)
    what = "It is"
    if (left, upper, right, lower) != whole:
        yield "Its black surround was cut off."
        what = "What is left is"
    if min(width, height) < params.image_size:
        yield f"{what} {width} x {height} pixels, and the network was made for {params.image_size} a side."
    if max(width, height) > SQUEEZED * min(width, height):
        if params.fit == "squash":
            yield f"{what} {width} x {height} pixels and was squeezed to a square."
        elif params.fit == "crop":
            yield f"{what} {width} x {height} pixels, and only its middle was looked at."
