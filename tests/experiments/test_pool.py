"""Folds below each other: every lesion once, and what is no set of folds."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from commands import main
from sklearn.metrics import roc_auc_score

from dermascreen.core.errors import FoldsError
from dermascreen.evidence.intervals import auc_interval
from dermascreen.experiments import pool as module
from dermascreen.experiments.pool import pool

from .test_compare import predictions

pytestmark = pytest.mark.usefixtures("folds")


@pytest.fixture
def folds(tmp_path, monkeypatch) -> list[str]:
    """Three files, of 80 images each; image and lesion numbers go on from one to the next. A fifth of each is val."""
    monkeypatch.chdir(tmp_path)
    for fold in range(3):
        table = predictions(fold)
        table["lesion"] += 40 * fold
        table["path"] = [f"{fold}/{path}" for path in table["path"]]
        table.to_csv(f"{fold}.csv", index=False)
    return ["0.csv", "1.csv", "2.csv"]


def test_the_test_images_of_all_folds_are_pooled(folds) -> None:
    pooled = pool(folds)
    assert np.bincount(pooled.fold).tolist() == [64, 64, 64]
    assert set(pooled.split) == {"test"}
    assert len(set(pooled.path)) == len(pooled)


def test_folds_keep_patients_together_and_all_must_name_them(folds, capsys) -> None:
    for fold in folds:
        table = pd.read_csv(fold)
        table.assign(patient=table["lesion"] // 2 * 2).to_csv(f"patients-{fold}", index=False)
    known = [f"patients-{fold}" for fold in folds]
    pooled = pool(known)
    assert pooled.patient.tolist() == (pooled.lesion // 2 * 2).tolist()
    main(["pool", *known, "--draws", "100"])
    first = pooled[pooled.fold == 0]
    _, interval = auc_interval(first.label, first.probability, first.patient)
    said = capsys.readouterr().out
    assert "Wrote 192 predictions, of 96 lesions of 48 patients, to " in " ".join(said.split())
    row = next(line for line in said.splitlines() if line.startswith("patients-0.csv"))
    assert row.split()[-2:] == [f"{interval.low:.4f}", f"{interval.high:.4f}"]
    with pytest.raises(
        FoldsError,
        match=r"^1\.csv does not say whose photographs they are \(column patient\), as patients-0\.csv does\.$",
    ):
        pool([known[0], folds[1]])
    pd.read_csv(folds[1]).assign(patient=lambda table: table["lesion"] // 2 * 2 - 40).to_csv("other.csv", index=False)
    with pytest.raises(FoldsError, match=r"^patients-0\.csv and other\.csv both test patient \d+; give each fold"):
        pool([known[0], "other.csv"])


def test_the_command_writes_a_table_that_can_be_compared_and_prints_its_auc(folds, capsys) -> None:
    main(["pool", *folds, "--draws", "100"])
    said = capsys.readouterr().out
    written = pd.read_csv("reports/pooled_predictions.csv")
    auc = roc_auc_score(written["label"], written["probability"])
    each = [roc_auc_score(part["label"], part["probability"]) for _, part in written.groupby("fold")]
    assert re.search(rf"roc_auc {auc:.4f} +delong", said)
    assert f"mean over folds {np.mean(each):.4f}, standard deviation {np.std(each, ddof=1):.4f}" in said
    assert "Wrote 192 predictions, of 96 lesions, to " in said


def test_folds_of_few_lesions_have_no_interval_without_a_width(tmp_path, capsys) -> None:
    for fold in range(2):
        table = predictions(fold, images=10).assign(split="test")
        table["lesion"] += 10 * fold
        table["path"] = [f"{fold}/{path}" for path in table["path"]]
        table["probability"] = 0.1 + 0.2 * table["label"]  # told apart, and none is called malignant
        table.to_csv(tmp_path / f"few{fold}.csv", index=False)
    main(["pool", "few0.csv", "few1.csv", "--draws", "100"])
    said = capsys.readouterr().out
    assert said.count("1.0000 hoeffding 0.1581 1.0000") == 2  # two malignant lesions and three benign ones: 0.025 ^ 1/2
    lines = {line.split()[0]: line.split() for line in said.splitlines() if line.strip()}
    assert lines["roc_auc"] == ["roc_auc", "1.0000", "hoeffding", "0.3976", "1.0000"]  # four and six
    assert lines["average_precision"] == ["average_precision", "1.0000"]
    assert lines["precision"] == ["precision"]
    assert "Where a cell is empty, there are too few images to tell." in said


def test_a_lesion_in_two_folds_is_refused_and_nothing_written(capsys, tmp_path) -> None:
    with pytest.raises(SystemExit, match="1"):
        main(["pool", "0.csv", "1.csv", "0.csv"])
    assert "0.csv and 0.csv both test lesion 8; give each fold" in capsys.readouterr().err
    assert not (tmp_path / "reports").exists()


def test_a_place_that_cannot_be_written_to_is_named(folds, capsys, tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match="1"):
        main(["pool", *folds, "--draws", "100", "--out", "file/pooled.csv"])
    assert capsys.readouterr().err == "dermascreen pool: file/pooled.csv cannot be written (File exists).\n"


def test_the_place_of_a_folder_is_not_taken(folds, capsys, tmp_path) -> None:
    (tmp_path / "reports").mkdir(exist_ok=True)
    (tmp_path / "reports/report.html").touch()
    with pytest.raises(SystemExit, match="1"):
        main(["pool", *folds, "--draws", "100", "--out", "reports"])
    assert capsys.readouterr().err == "dermascreen pool: --out: reports is a folder; name a file to write.\n"
    assert (tmp_path / "reports/report.html").exists()


def test_a_file_of_something_else_is_not_replaced_and_pooled_predictions_are(folds, capsys, tmp_path) -> None:
    (tmp_path / "splits.csv").write_text("path,label,lesion,split\n")
    with pytest.raises(SystemExit, match="1"):
        main(["pool", *folds, "--draws", "100", "--out", "splits.csv"])
    said = "dermascreen pool: --out: splits.csv exists and holds no pooled predictions; name another file.\n"
    assert capsys.readouterr().err == said
    assert (tmp_path / "splits.csv").read_text() == "path,label,lesion,split\n"
    for _ in range(2):
        main(["pool", *folds, "--draws", "100", "--out", "pooled.csv"])


@pytest.mark.usefixtures("folds")
def test_a_fold_that_is_none_is_named_before_it_is_counted(capsys) -> None:
    with pytest.raises(SystemExit, match="1"):
        main(["pool", "nope.csv"])
    assert capsys.readouterr().err.startswith("dermascreen pool: nope.csv cannot be read (No such file or directory)")


def test_one_fold_is_no_cross_validation() -> None:
    with pytest.raises(FoldsError, match="only one fold"):
        pool(["0.csv"])


def params(**split: Any) -> dict[str, Any]:
    return {"seed": 0, "split": {"protocol": "grouped", "folds": 3, "fold": 0} | split, "train": {"lr": 0.1}}


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ([params(folds=0), params(folds=0), params(folds=0)], "cv-1 has split.folds 0"),
        ([params(), params(fold=1), params(fold=2) | {"train": {"lr": 0.2}}], "cv-1 and cv-3 differ in train"),
        ([params(), params(fold=1, folds=4), params(fold=2)], "cv-1 and cv-2 differ in split"),
        ([params(), params(fold=1), params(fold=1)], "split.folds is 3, but fold 2 is missing among cv-1, cv-2, cv-3"),
    ],
)
def test_experiments_that_are_not_the_folds_of_one_model_are_refused(monkeypatch, found, problem: str) -> None:
    by_name = dict(zip(["cv-1", "cv-2", "cv-3"], found, strict=True))
    monkeypatch.setattr(module, "read_experiment_params", by_name.__getitem__)
    with pytest.raises(FoldsError, match=problem):
        pool([*by_name])


def test_a_revision_without_a_fold_is_one_sentence(folds, monkeypatch) -> None:
    monkeypatch.setattr(module, "read_experiment_params", lambda _: {"split": {"val_fraction": 0.2}})
    monkeypatch.setattr(module, "is_file", lambda _: False)
    with pytest.raises(FoldsError, match=r"^0\.csv has no split\.fold among its parameters, so it is not a fold\.$"):
        pool(folds)
