"""The description of a trained network, next to its weights."""

from pathlib import Path
from typing import ClassVar, Literal

from dermascreen.core.params import PreprocessParams
from dermascreen.core.records import Part, Record

WEIGHTS = Path("models/weights.safetensors")
IMAGENET, NOTHING = "ImageNet-1k", "nothing"


class Start(Part):
    """The weights that training started from."""

    source: str  # where they came from
    licence: str | None  # of the weights; None if it is not known
    trained_on: str | None  # the images that they were trained on; None if that is not known
    sha256: str | None  # of the file that held them, if there was one

    @classmethod
    def unrecorded(cls, weights: str) -> "Start":
        """What can be said of `weights`, model.weights of params.yaml, where nothing more was kept."""
        return RANDOM if weights == "none" else cls(source=weights, licence=None, trained_on=None, sha256=None)


RANDOM = Start(source="drawn at random", licence=None, trained_on=NOTHING, sha256=None)


class Description(Record):
    """Everything but the weights that is needed to use a trained network."""

    PATH: ClassVar[Path] = Path("models/model.json")

    architecture: str  # model.architecture of params.yaml
    weights: str  # model.weights of params.yaml, from which training started
    start: Start | None = None  # what is known of those; models made before it was kept lack it
    hidden: int
    dropout: float
    image_size: int  # pixels a side
    fit: Literal["squash", "crop", "pad"] = "squash"  # these two: preprocess of params.yaml, under which they are told
    field_of_view: Literal["keep", "crop"] = "keep"
    mean: tuple[float, float, float]  # of each channel in [0, 1]; subtracted, then divided by std
    std: tuple[float, float, float]
    classes: tuple[str, str]  # the logit is that of the second

    @property
    def preprocess(self) -> PreprocessParams:
        """How a photograph becomes the network's input."""
        return PreprocessParams.model_construct(
            image_size=self.image_size, fit=self.fit, field_of_view=self.field_of_view
        )
