"""Tables come back as they were written, and what cannot be is one sentence."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dermascreen.artifacts.dataset.columns import Label, LesionNumber, Name, Probability, Score, Size, SplitName
from dermascreen.core.errors import BadTableError, MissingInputError
from dermascreen.core.tables import Meaning, Table, locate, write_table


@dataclass(frozen=True)
class Images(Table):
    PATH = Path("data/table.csv")

    path: Name
    split: SplitName
    label: Label
    lesion: LesionNumber
    logit: Score
    probability: Probability


@dataclass(frozen=True)
class Labels(Table):
    PATH = Path("data/table.csv")

    path: Name
    label: Label


@dataclass(frozen=True)
class Numbers(Table):
    path: Name
    x: Annotated[npt.NDArray[np.float64], Meaning("any number", lambda values: values.notna())]
    label: Label


@dataclass(frozen=True)
class Grown(Table):
    """A table that once had fewer columns."""

    PATH = Path("data/table.csv")

    path: Name
    size: Size | None = None


def test_a_column_that_older_files_lack_may_be_missing_but_not_be_wrong(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("path\na\n")
    assert Grown.read(file).size is None
    file.write_text("path,size\na,2.5\n")
    assert Grown.read(file).size.tolist() == [2.5]
    file.write_text("path,size\na,-1\n")
    with pytest.raises(BadTableError, match="has a size that is not a number from 0 on in line 2"):
        Grown.read(file)
    file.write_text("size\n2.5\n")
    with pytest.raises(BadTableError, match="lacks the column 'path'"):
        Grown.read(file)


GOOD = pd.DataFrame(
    {
        "path": ["a", "b", "c", "d"],
        "split": ["val", "val", "test", "test"],
        "label": [0, 1, 1, 0],
        "lesion": [0, 1, 2, 2],
        "logit": [-40.0, 0.0, 1e-9, 2.5],
        "probability": [0.0, 0.5, 0.5, 1.0],
    }
)


def test_a_table_comes_back_digit_for_digit(tmp_path: Path) -> None:
    table = pd.DataFrame({"path": ["NA", "a,b.jpg", "ü.jpg"], "label": [0, 1, 1], "x": [0.1 + 0.2, 1e-300, 1 / 3]})
    write_table(table, tmp_path / "table.csv")
    assert Numbers.read(tmp_path / "table.csv").to_frame().to_dict("list") == table.to_dict("list")
    assert b"\r" not in (tmp_path / "table.csv").read_bytes()


# What no file's name holds, and no CSV file, is left out: NUL.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@settings(max_examples=40)
@given(
    st.lists(st.tuples(TEXT, st.floats(allow_nan=False), st.integers(0, 1)), min_size=1, unique_by=lambda row: row[0])
)
@example([("007", 0.1, 0), ("a\rb", 0.2, 1), ("1e5", 1e300, 0), ("nan", 0.0, 1), ('",\r\n', 0.0, 0), (" ", -0.0, 1)])
def test_any_text_comes_back(rows: list[tuple[str, float, int]]) -> None:
    table = pd.DataFrame(rows, columns=["path", "x", "label"])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_table(table, path)
        assert Numbers.read(path).to_frame().to_dict("list") == table.to_dict("list")
        assert path.read_bytes().endswith(b"\n")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is not a CSV table"),
        (b'a,b\n"1', "is not a CSV table"),
        (b"a,b\n1,2,3\n1,2,3,4\n", "is not a CSV table"),
        (b"path\n\xff\n", "is not a CSV table"),
        (b"path,label\n", "has no row"),
        (b"path,split\n", "lacks the column 'label'"),
    ],
)
def test_a_broken_table_is_one_sentence(content: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(BadTableError) as error:
        Labels.read(path)
    assert str(error.value) == f"{path} {problem}; run `dvc repro` to make it again."


def test_columns_that_mean_what_they_should_pass(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_table(GOOD, path)
    found = Images.read(path, ["val", "test"])
    assert found.to_frame().to_dict("list") == GOOD.to_dict("list")
    assert (len(found), found.label.dtype, found.logit.dtype) == (4, np.int64, np.float64)
    assert found[found.label == 1].path.tolist() == ["b", "c"]


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("path", "b", "holds b twice"),
        ("path", "", "has a path that is not a name in line 4"),
        ("label", 2, "has a label that is not 0 or 1 in line 4"),
        ("label", "", "has a label that is not 0 or 1 in line 4"),
        ("lesion", 1.5, "has a lesion that is not a whole number of at most 15 digits in line 4"),
        ("lesion", 10**15, "has a lesion that is not a whole number of at most 15 digits in line 4"),
        ("lesion", 1e300, "has a lesion that is not a whole number of at most 15 digits in line 4"),
        ("lesion", "x", "has a lesion that is not a whole number of at most 15 digits in line 4"),
        ("logit", "inf", "has a logit that is not a number in line 4"),
        ("logit", "nan", "has a logit that is not a number in line 4"),
        ("probability", 1.01, "has a probability that is not a number from 0 to 1 in line 4"),
        ("split", "tset", "has a split that is not train, selection, val, test or excluded in line 4"),
        ("split", "val", "holds only one class in split 'test'"),
    ],
)
def test_a_value_that_cannot_be_is_named(column: str, value: object, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    table = GOOD.astype({column: object})
    table.loc[2, column] = value
    write_table(table, path)
    with pytest.raises(BadTableError) as error:
        Images.read(path, ["val", "test"])
    assert str(error.value) == f"{path} {problem}; run `dvc repro` to make it again."


def test_a_split_without_images_is_named(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_table(GOOD, path)
    with pytest.raises(BadTableError, match=r"holds no image of split 'train'"):
        Images.read(path, ["train"])


def test_rows_are_found_by_path_and_one_that_is_lacking_is_named() -> None:
    source = Path("data/table.csv")
    assert locate(pd.Index(GOOD["path"]), ["c", "a", "c"], source).tolist() == [2, 0, 2]
    assert Images.of(GOOD).at(["d", "b"]).label.tolist() == [0, 1]
    with pytest.raises(BadTableError, match=r"data/table\.csv lacks e; run"):
        Images.of(GOOD).at(["a", "e"])


def test_an_absent_table_names_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "absent"
    with pytest.raises(MissingInputError) as error:
        Labels.read(path)
    assert str(error.value).startswith(f"{path} does not exist; check the path")
