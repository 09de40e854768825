"""Two models on the same images: the numbers, and what cannot be compared."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from dermascreen.compare import compare, main, pair
from dermascreen.evidence.intervals import compare_aucs

pytestmark = pytest.mark.usefixtures("files")


def predictions(seed: int, images: int = 80) -> pd.DataFrame:
    """Predictions of a model that has learnt a little; a fifth of the images are val."""
    lesion = np.arange(images) // 2
    label = lesion % 2
    probability = 1 / (1 + np.exp(-np.random.default_rng(seed).normal(2 * label - 1, 1.5)))
    split = np.where(np.arange(images) < images // 5, "val", "test")
    names = [f"train/{number}.jpg" for number in range(images)]
    columns = {"path": names, "split": split, "label": label, "lesion": lesion}
    return pd.DataFrame(columns | {"probability": probability, "calibrated_probability": probability})


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, seed in (("a", 0), ("b", 1)):
        predictions(seed).to_csv(f"{name}.csv", index=False)
    return tmp_path


def sentence(capsys, *arguments: str) -> str:
    """What the command says where it ends with exit code 1; it says nothing else."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("compare: ")
    assert said.err.count("\n") == 1
    return said.err.removeprefix("compare: ").strip()


def test_differences_are_those_of_scikit_learn() -> None:
    table = pair("a.csv", "b.csv", "test")
    assert len(table) == 64
    found = compare(table, draws=200, seed=0)
    delong, *rest = found.to_dict("records")
    assert (
        delong
        == {"measure": "ROC AUC", "method": "DeLong"}
        | compare_aucs(table["label"].to_numpy(), table["first"].to_numpy(), table["second"].to_numpy())._asdict()
    )
    scores = {
        "ROC AUC": roc_auc_score,
        "average precision": average_precision_score,
        "Brier score (lower is better)": brier_score_loss,
    }
    by_name = {row["measure"]: row for row in rest}
    for name, score in scores.items():
        first, second = (score(table["label"], table[column]) for column in ("first", "second"))
        assert by_name[name]["first"] == pytest.approx(first)
        assert by_name[name]["difference"] == pytest.approx(first - second)
        assert by_name[name]["low"] < first - second < by_name[name]["high"]


def test_images_are_paired_by_path_and_not_by_row() -> None:
    predictions(1).sample(frac=1, random_state=0).to_csv("shuffled.csv", index=False)
    pd.testing.assert_frame_equal(pair("a.csv", "b.csv", "test"), pair("a.csv", "shuffled.csv", "test"))


def test_a_model_does_not_differ_from_itself() -> None:
    found = compare(pair("a.csv", "a.csv", "test"), draws=50, seed=0)
    assert (found[["difference", "low", "high"]] == 0).all(axis=None)
    assert found["p_value"].iloc[0] == 1


def test_the_command_prints_every_measure(capsys) -> None:
    main(["a.csv", "b.csv", "--split", "val", "--draws", "20"])
    said = capsys.readouterr().out
    assert "16 val images, 8 of them malignant, of 8 lesions" in said
    assert said.count("lesions  ") + said.count("lesions 0") == 4
    assert "DeLong" in said


def test_models_of_different_tests_are_compared_only_on_request(capsys) -> None:
    predictions(1).iloc[10:-10].to_csv("fewer.csv", index=False)
    said = sentence(capsys, "a.csv", "fewer.csv")
    assert said == (
        "a.csv predicts 64 test images and fewer.csv 54, of which they share 54; --common compares them on those."
    )
    main(["a.csv", "fewer.csv", "--common", "--draws", "20"])
    assert "54 test images" in capsys.readouterr().out
    predictions(1).assign(path=lambda table: "x" + table["path"]).to_csv("others.csv", index=False)
    assert sentence(capsys, "a.csv", "others.csv", "--common").endswith("share 0; there is nothing to compare.")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda table: table.drop(columns="calibrated_probability"), "lacks the column 'calibrated_probability'"),
        (lambda table: table[table["split"].eq("val")], "holds no image of split 'test'"),
        (lambda table: pd.concat([table, table.tail(1)]), "holds train/79.jpg twice"),
        (lambda table: table.assign(label="malignant"), "has a label that is not 0 or 1 in line 2;"),
        (lambda table: table[table["label"].eq(1)], "holds only one class in split 'test'"),
        (lambda table: table.assign(calibrated_probability="?"), "has a calibrated_probability that is not a number"),
        (lambda table: table.assign(calibrated_probability=1.5), "has a calibrated_probability that is not a number"),
        (lambda _: pd.DataFrame(), "is not a CSV table"),
    ],
)
def test_a_table_that_is_none_of_predictions_is_named(capsys, change, problem: str) -> None:
    change(predictions(0)).to_csv("bad.csv", index=False)
    said = sentence(capsys, "a.csv", "bad.csv")
    assert said.startswith(f"bad.csv {problem}")
    assert said.endswith("give a predictions.csv as stage evaluate writes it.")


def test_labels_that_differ_are_named(capsys) -> None:
    table = predictions(1)
    table.loc[[30, 40], "label"] = 1 - table.loc[[30, 40], "label"]
    table.to_csv("other.csv", index=False)
    assert sentence(capsys, "a.csv", "other.csv") == "a.csv and other.csv do not agree on the label of train/30.jpg."


def test_what_is_no_file_and_no_experiment_is_named(files, capsys) -> None:
    assert sentence(capsys, "a.csv", "nosuch.csv").startswith("nosuch.csv cannot be read (No such file or directory)")
    (files / "folder.csv").mkdir()
    assert sentence(capsys, "a.csv", "folder.csv").startswith("folder.csv cannot be read (Is a directory)")
    assert sentence(capsys, "a.csv", "nosuch").startswith("nosuch is neither a file nor a DVC experiment")


@pytest.mark.parametrize(
    ("option", "value", "least"), [("--draws", "0", 1), ("--draws", "many", 1), ("--seed", "-1", 0)]
)
def test_an_option_that_is_no_such_number_is_named(capsys, option: str, value: str, least: int) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["a.csv", "b.csv", f"{option}={value}"])
    said = capsys.readouterr().err
    assert f"argument {option}: {value} is not a whole number of at least {least}" in said
