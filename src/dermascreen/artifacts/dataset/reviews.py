"""What people have said of pairs of photographs: whether they show one lesion."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Self, TextIO

from dermascreen.artifacts.dataset.columns import Name, Text, Texts
from dermascreen.core.errors import BadTableError
from dermascreen.core.tables import Meaning, Table, parse_table

SAME, DIFFERENT = "same", "different"
CORRECT = "correct it: its columns are sha256_a, sha256_b, verdict (same or different) and note"

Verdict = Annotated[Texts, Meaning("same or different", lambda values: values.isin([SAME, DIFFERENT]), number=False)]


@dataclass(frozen=True)
class Reviews(Table):
    """Pairs by the digests of their files, the lesser one first, each once; there may be none."""

    PATH: ClassVar[Path] = Path("data/reviewed_pairs.csv")

    sha256_a: Name
    sha256_b: Name
    verdict: Verdict
    note: Text  # blank where the reviewer left none

    @classmethod
    def read(cls, path: Path | None = None, splits: Sequence[str] = ()) -> Self:
        """As other tables are, but what is wrong has to be corrected by a person."""
        try:
            return super().read(path, splits)
        except BadTableError as error:
            raise BadTableError(error.path, error.problem, CORRECT) from None

    @classmethod
    def parse(cls, file: Path | TextIO, splits: Sequence[str] = ()) -> Self:  # noqa: ARG003 - reviews have no splits
        table = parse_table(file, cls.meanings(), may_be_empty=True)
        turned = table["sha256_a"] > table["sha256_b"]
        table.loc[turned, ["sha256_a", "sha256_b"]] = table.loc[turned, ["sha256_b", "sha256_a"]].to_numpy()
        if (itself := table["sha256_a"].eq(table["sha256_b"])).any():
            raise ValueError(f"compares a file with itself in line {int(itself.to_numpy().argmax()) + 2}")
        if (twice := table.duplicated(["sha256_a", "sha256_b"])).any():
            raise ValueError(f"holds a pair twice in line {int(twice.to_numpy().argmax()) + 2}")
        return cls.of(table)
