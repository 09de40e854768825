"""Which diagnoses are malignant, which benign, and which neither."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Self

from dermascreen.core.errors import ParamsError
from dermascreen.core.params import TableParams
from dermascreen.data.sources.layouts import CLASSES

GENERIC = {"malignant", "benign", "0", "1", "true", "false", "yes", "no"}  # a column of these alone is the class itself

# The ISIC Archive's diagnosis_1 and diagnosis_3, the challenges' codes, HAM10000's dx, PAD-UFES-20's diagnostic, and
# plain words. docs/how-to/own-data.md gives the reasons.
MALIGNANT = (
    "malignant", "1", "true", "yes",
    "mel", "melanoma", "melanoma, nos", "melanoma in situ", "melanoma invasive", "melanoma metastasis",
    "lentigo maligna", "lentigo maligna melanoma", "malignant melanoma",
    "bcc", "basal cell carcinoma",
    "scc", "squamous cell carcinoma", "squamous cell carcinoma, nos", "squamous cell carcinoma in situ",
    "squamous cell carcinoma, invasive", "bowen's disease", "bowen disease", "keratoacanthoma", "merkel cell carcinoma",
)  # fmt: skip
BENIGN = (
    "benign", "0", "false", "no",
    "nv", "nev", "nevus", "naevus", "nevi", "melanocytic nevus", "melanocytic nevi", "blue nevus", "spitz nevus",
    "bkl", "benign keratosis", "benign keratosis-like lesions", "pigmented benign keratosis", "lichenoid keratosis",
    "sek", "sk", "seborrheic keratosis", "seborrhoeic keratosis",
    "lentigo nos", "solar lentigo", "lentigo simplex",
    "df", "dermatofibroma", "scar",
    "vasc", "vascular lesion", "angioma", "hemangioma", "haemangioma", "angiokeratoma", "pyogenic granuloma",
)  # fmt: skip
# Known, and left out unless the user says otherwise. Actinic keratosis is a precursor: the ISIC Archive calls it
# indeterminate, and HAM10000's akiec mixes it with carcinoma in situ.
NEITHER = (
    "indeterminate", "ak", "ack", "actinic keratosis", "solar or actinic keratosis", "akiec",
    "atypical melanocytic proliferation", "atypical nevus", "dysplastic nevus", "unk", "other",
)  # fmt: skip


def key(value: str) -> str:
    """A value without the differences that people and spreadsheets make: case, spaces and 12.0 for 12."""
    text = re.sub(r"\s+", " ", value.replace("_", " ").casefold().strip())
    return re.sub(r"^(\d+)\.0*$", r"\1", text)


@dataclass(frozen=True)
class Labels:
    """The class of each value of a column of labels."""

    malignant: Collection[str]
    benign: Collection[str]

    @classmethod
    def of(cls, params: TableParams) -> Self:
        """The values that the parameters list, or else the known ones."""
        given = {key(value) for value in params.malignant}, {key(value) for value in params.benign}
        if bool(given[0]) != bool(given[1]):
            named, other = ("malignant", "benign") if given[0] else ("benign", "malignant")
            raise ParamsError(
                f"data.table.{named} lists values and data.table.{other} none; list those of both, since what is in "
                "neither list is left out."
            )
        if both := given[0] & given[1]:
            raise ParamsError(f"data.table.malignant and data.table.benign both list {min(both)}; take it out of one.")
        return cls(*given) if given[0] else cls(MALIGNANT, BENIGN)

    def numbers_among(self, values: Iterable[str]) -> str | None:
        """A value that is a number and in neither list, so that 0 and 1 may be codes of diagnoses too; None without."""
        return next((value for value in values if re.fullmatch(r"\d+(\.0*)?", value) and self(value) is None), None)

    def __call__(self, value: str) -> str | None:
        """The class of a value, one of CLASSES; None for one in neither list."""
        found = key(value)
        if found in self.malignant:
            return CLASSES[1]
        return CLASSES[0] if found in self.benign else None
