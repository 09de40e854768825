"""A model for its users: the predictor, and what is said about it."""

import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self

from dermascreen.artifacts.model.description import WEIGHTS, Description
from dermascreen.artifacts.model.explanation import Explanation
from dermascreen.artifacts.model.exported import AGAIN, EXPORTED
from dermascreen.artifacts.model.files import MODEL_CARD
from dermascreen.artifacts.model.operating_points import OPERATING_POINTS
from dermascreen.artifacts.model.sweep import Sweep
from dermascreen.core.errors import BadTableError, MissingInputError
from dermascreen.core.hashes import sha256_of
from dermascreen.evidence.operating_points import BAND, HIGH_RECALL, OperatingPoints
from dermascreen.explanation.maps import MapKind
from dermascreen.prediction.forward import ForwardPass
from dermascreen.prediction.predictor import Predictor
from dermascreen.report.wording import caveat_of

if TYPE_CHECKING:
    from dermascreen.network.model import Network


@dataclass(frozen=True)
class Bundle:
    """All of models/, as the pipeline leaves it."""

    predictor: Predictor
    sweep: Sweep
    card: str  # the model card, in Markdown
    network: "Network | None" = None  # in torch, of which maps are made

    @classmethod
    def read(cls, folder: Path, *, explained: bool = False) -> Self:
        """Read a folder that holds BUNDLE by their own names; DermascreenError says what is missing or broken.

        With `explained`, the network in torch too, so that maps can be made. A model that was made before its network
        was kept as ONNX is read as well, which takes some seconds more, and a line on standard error says so.
        """
        predictor = Predictor(folder)
        file, weights = folder / EXPORTED.name, folder / WEIGHTS.name
        before = not file.exists() and weights.exists() and not predictor.made_for
        network = _read_network(folder) if explained or before else None
        if network is not None and before:
            print(f"{file} does not exist, so it is made anew of {weights.name} each time.", file=sys.stderr)
            predictor.network = _export(network)
        if explained and predictor.network.weights_sha256 not in (None, sha256_of(weights)):
            raise BadTableError(file, f"is not the network of {weights}", AGAIN)
        predictor.load()
        table = folder / Sweep.PATH.name
        sweep = Sweep.read(table)
        if predictor.points.sweep not in (None, sha256_of(table)):
            raise BadTableError(table, f"does not belong to {folder / OPERATING_POINTS.name}", AGAIN)
        return cls(
            predictor,
            sweep,
            _read_text(folder / MODEL_CARD.name),
            network if explained else None,
        )

    @property
    def points(self) -> OperatingPoints:
        return self.predictor.points

    @property
    def explanation(self) -> Explanation:
        return self.predictor.explanation

    @property
    def maps(self) -> MapKind:
        """How maps are made."""
        return MapKind(self.explanation.layer, self.explanation.variant)

    def caveat(self, point: str) -> str | None:
        """What must be said wherever a decision is made at an operating point, in a sentence, if anything must.

        The band has high_recall's threshold as its lower one, and so what is said against that.
        """
        names = (point, HIGH_RECALL) if point == BAND else (point,)
        found = [caveat_of(self.points[name]) for name in names]
        return " ".join(filter(None, found)) or None


def _export(network: "Network") -> ForwardPass:
    from dermascreen.network.export import export  # noqa: PLC0415 - torch is slow to import

    with TemporaryDirectory() as made:
        export(network, Path(made, EXPORTED.name))
        return ForwardPass(Path(made, EXPORTED.name))


def _read_network(folder: Path) -> "Network":
    from dermascreen.network.model import load_model  # noqa: PLC0415 - torch is slow to import

    return load_model(folder / WEIGHTS.name, folder / Description.PATH.name)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MissingInputError(path) from None
