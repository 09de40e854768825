"""Tables come back as they were written, and what cannot be is one sentence."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dermascreen.errors import BadTableError, MissingInputError
from dermascreen.tables import align, locate, read_table, write_table

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
    pd.testing.assert_frame_equal(read_table(tmp_path / "table.csv", ["path", "x"]), table, check_exact=True)
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
        pd.testing.assert_frame_equal(read_table(path, ["path", "label"]), table, check_exact=True)
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
        read_table(path, ["path", "label"])
    assert str(error.value) == f"{path} {problem}; run `dvc repro --force` to make it anew."


def test_columns_that_mean_what_they_should_pass(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_table(GOOD, path)
    pd.testing.assert_frame_equal(read_table(path, [*GOOD.columns], ["val", "test"]), GOOD)


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("path", "b", "holds b twice"),
        ("path", "", "has a path that is not a name in line 4"),
        ("label", 2, "has a label that is not 0 or 1 in line 4"),
        ("label", "", "has a label that is not 0 or 1 in line 4"),
        ("lesion", 1.5, "has a lesion that is not a whole number in line 4"),
        ("lesion", "x", "has a lesion that is not a whole number in line 4"),
        ("logit", "inf", "has a logit that is not a number in line 4"),
        ("logit", "nan", "has a logit that is not a number in line 4"),
        ("probability", 1.01, "has a probability that is not a number from 0 to 1 in line 4"),
        ("split", "tset", "has a split that is not train, val, test or excluded in line 4"),
        ("split", "val", "holds only one class in split 'test'"),
    ],
)
def test_a_value_that_cannot_be_is_named(column: str, value: object, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    table = GOOD.astype({column: object})
    table.loc[2, column] = value
    write_table(table, path)
    with pytest.raises(BadTableError) as error:
        read_table(path, [*GOOD.columns], ["val", "test"])
    assert str(error.value) == f"{path} {problem}; run `dvc repro --force` to make it anew."


def test_a_split_without_images_is_named(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_table(GOOD, path)
    with pytest.raises(BadTableError, match=r"holds no image of split 'train'"):
        read_table(path, ["path", "split", "label"], ["train"])


def test_rows_are_found_by_path_and_one_that_is_lacking_is_named() -> None:
    source = Path("data/table.csv")
    assert locate(pd.Index(GOOD["path"]), ["c", "a", "c"], source).tolist() == [2, 0, 2]
    assert align(GOOD, ["d", "b"], source)["label"].tolist() == [0, 1]
    with pytest.raises(BadTableError, match=r"data/table\.csv lacks e; run"):
        align(GOOD, ["a", "e"], source)


def test_an_absent_table_names_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "absent"
    with pytest.raises(MissingInputError) as error:
        read_table(path, [])
    assert str(error.value).startswith(f"{path} does not exist; check the path")
