"""Two models on the same images: the numbers, and what cannot be compared."""

import dataclasses
import json
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import main
from dvc.repo import Repo
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar

from dermascreen.artifacts.model.operating_points import OPERATING_POINTS, write_operating_points
from dermascreen.core.errors import ComparisonError
from dermascreen.evidence.clusters import Clusters
from dermascreen.evidence.intervals import compare_aucs, hoeffding
from dermascreen.evidence.operating_points import HighRecall, OperatingPoints, Point
from dermascreen.evidence.paired import compare_errors
from dermascreen.experiments.compare import _shown, compare, errors_at, pair

pytestmark = pytest.mark.usefixtures("files")


def predictions(seed: int, images: int = 80) -> pd.DataFrame:
    """Predictions of a model that has learnt a little; a fifth of the images are val."""
    lesion = np.arange(images) // 2
    label = lesion % 2
    probability = 1 / (1 + np.exp(-np.random.default_rng(seed).normal(2 * label - 1, 1.5)))
    split = np.where(np.arange(images) < images // 5, "val", "test")
    names = [f"train/{number}.jpg" for number in range(images)]
    return pd.DataFrame({"path": names, "split": split, "label": label, "lesion": lesion, "probability": probability})


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, seed in (("a", 0), ("b", 1)):
        predictions(seed).to_csv(f"{name}.csv", index=False)
    return tmp_path


def sentence(capsys, *arguments: str) -> str:
    """What the command says where it ends with exit code 1; it says nothing else."""
    with pytest.raises(SystemExit) as ended:
        main(["compare", *arguments])
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("dermascreen compare: ")
    assert said.err.count("\n") == 1
    return said.err.removeprefix("dermascreen compare: ").strip()


def test_differences_are_those_of_scikit_learn() -> None:
    table = pair("a.csv", "b.csv", "test")
    assert len(table) == 64
    found = compare(table, draws=200, seed=0)
    delong, *rest = found.to_dict("records")
    assert (
        delong
        == {"measure": "ROC AUC", "method": "DeLong"}
        | compare_aucs(*(table[column].to_numpy() for column in ("label", "first", "second", "lesion")))._asdict()
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


def test_equal_names_of_other_photographs_are_not_paired() -> None:
    table = predictions(1)
    table.assign(sha256=table["path"] + " of one archive").to_csv("one.csv", index=False)
    table.assign(sha256=table["path"] + " of another").to_csv("other.csv", index=False)
    with pytest.raises(ComparisonError, match=r"one\.csv and other\.csv are of different data: not the same photo"):
        pair("one.csv", "other.csv", "test", common=True)
    for older in ("a.csv", "b.csv"):  # which do not say what their photographs are
        assert len(pair("one.csv", older, "test")) == 64
    pd.testing.assert_frame_equal(pair("one.csv", "one.csv", "test"), pair("b.csv", "b.csv", "test"))


def test_where_patients_are_known_they_are_kept_together(capsys) -> None:
    for name, seed in (("a", 0), ("b", 1)):
        table = predictions(seed)
        table.assign(patient=table["lesion"] // 4).to_csv(f"{name}-patients.csv", index=False)
    known = pair("a-patients.csv", "b-patients.csv", "test")
    found = compare(known, draws=200, seed=0)
    arguments = (known[column].to_numpy() for column in ("label", "first", "second", "patient"))
    assert found["low"][0] == compare_aucs(*arguments).low
    assert found["method"].tolist() == ["Hoeffding", "patients", "patients", "patients", "patients"]
    pd.testing.assert_frame_equal(pair("a.csv", "b-patients.csv", "test"), known)  # the first is older
    main(["compare", "a-patients.csv", "b-patients.csv", "--draws", "100", "--threshold-a", "0.5"])
    said = capsys.readouterr().out
    assert "64 test images, 32 of them malignant, of 32 lesions of 8 patients\n" in said
    assert "too few patients are ranked differently for DeLong's and for a bootstrap of patients" in said
    main(["compare", "a.csv", "b-patients.csv", "--threshold-a", "0.5", "--threshold-b", "0.5", "--draws", "100"])
    said = capsys.readouterr().out
    assert "p by patient\n" in said
    assert "exact test; p by patient counts each patient once." in said
    assert "on 64 images of 32 lesions of 8 patients" in said


def test_other_patients_are_told(capsys) -> None:
    table = predictions(1)
    for name, patient in (
        ("one", table["lesion"] // 4),
        ("same", table["lesion"] // 4 + 9),
        ("other", table["lesion"] // 5),
    ):
        table.assign(patient=patient).to_csv(f"{name}.csv", index=False)
    for name, told in (("same", False), ("other", True), ("b", False)):
        main(["compare", "one.csv", f"{name}.csv", "--draws", "100"])
        said = "- A and B do not agree on which photographs are of one patient; A's patients are used."
        assert (said in capsys.readouterr().out) == told


def test_what_is_not_known_of_the_pairs_is_said(capsys) -> None:
    table = predictions(1)
    table.assign(sha256=table["path"]).to_csv("named.csv", index=False)
    table.assign(sha256=table["path"], lesion=table["lesion"] + 1000).to_csv("renumbered.csv", index=False)
    table.assign(sha256=table["path"], lesion=range(len(table))).to_csv("apart.csv", index=False)

    def said(first: str, second: str) -> str:
        main(["compare", first, second, "--draws", "100"])
        return capsys.readouterr().out

    assert "- B does not say which files were predicted (column sha256), so photographs are" in said(
        "named.csv", "a.csv"
    )
    assert "- A and B do not say which files were predicted" in said("a.csv", "b.csv")
    for text in (said("named.csv", "named.csv"), said("named.csv", "renumbered.csv")):
        assert "sha256" not in text
        assert "do not agree" not in text
    apart = said("named.csv", "apart.csv")
    assert "- A and B do not agree on which photographs show one lesion; A's lesions are used." in apart


def test_the_direction_is_that_of_lesions_as_the_test_is() -> None:
    lesion = np.repeat(np.arange(13), [40, *[1] * 12])
    first, second = lesion == 0, lesion > 0
    clusters = Clusters.of_lesions(lesion)
    said = _shown(compare_errors(first, second, clusters), "misses", "lesion")
    assert said == "A misses fewer if each lesion counts once (p = 0.003)"
    said = _shown(compare_errors(second, first, clusters), "misses", "patient")
    assert said == "A misses more if each patient counts once (p = 0.003)"
    once = np.arange(13)
    said = _shown(compare_errors(once == 0, once > 0, Clusters.of_lesions(once)), "misses", "lesion")
    assert said == "A misses fewer (p = 0.003)"


def test_a_model_does_not_differ_from_itself() -> None:
    found = compare(pair("a.csv", "a.csv", "test"), draws=50, seed=0)
    assert (found[["difference", "low", "high"]] == 0).all(axis=None)
    assert found["p_value"].iloc[0] == 1


def test_the_command_prints_every_measure(capsys) -> None:
    main(["compare", "a.csv", "b.csv", "--split", "val", "--draws", "100"])
    said = capsys.readouterr().out
    assert "16 val images, 8 of them malignant, of 8 lesions" in said
    assert said.count("lesions  ") + said.count("lesions 0") == 4
    assert "Hoeffding's bound" in said
    assert "DeLong 0." not in said  # of eight lesions it says nothing
    assert "- Epochs, temperatures and thresholds were chosen on val: results there are optimistic." in said


def test_models_of_different_tests_are_compared_only_on_request(capsys) -> None:
    predictions(1).iloc[10:-10].to_csv("fewer.csv", index=False)
    said = sentence(capsys, "a.csv", "fewer.csv")
    assert said == (
        "a.csv predicts 64 test images and fewer.csv 54, of which they share 54; --common compares them on those."
    )
    main(["compare", "a.csv", "fewer.csv", "--common", "--draws", "100"])
    assert "54 test images" in capsys.readouterr().out
    predictions(1).assign(path=lambda table: "x" + table["path"]).to_csv("others.csv", index=False)
    assert sentence(capsys, "a.csv", "others.csv", "--common").endswith("share 0; there is nothing to compare.")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda table: table.drop(columns="probability"), "lacks the column 'probability'"),
        (lambda table: table[table["split"].eq("val")], "holds no image of split 'test'"),
        (lambda table: pd.concat([table, table.tail(1)]), "holds train/79.jpg twice"),
        (lambda table: table.assign(label="malignant"), "has a label that is not 0 or 1 in line 2;"),
        (lambda table: table[table["label"].eq(1)], "holds only one class in split 'test'"),
        (lambda table: table.assign(probability="?"), "has a probability that is not a number"),
        (lambda table: table.assign(probability=1.5), "has a probability that is not a number"),
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


def test_a_revision_without_predictions_is_told_from_one_that_is_not_there(files, capsys) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "--quiet"], [*identity, "commit", "--quiet", "--allow-empty", "--message", "nothing"]):
        subprocess.run(["git", *command], check=True)
    Repo.init(str(files)).close()
    assert sentence(capsys, "a.csv", "nosuch").startswith("nosuch is neither a file nor a DVC experiment")
    said = sentence(capsys, "a.csv", "HEAD")
    assert said.startswith("HEAD has no predictions, as stage evaluate has not run there; give a predictions.csv")


@pytest.mark.parametrize(
    ("option", "value", "least"), [("--draws", "99", 100), ("--draws", "many", 100), ("--seed", "-1", 0)]
)
def test_an_option_that_is_no_such_number_is_named(capsys, option: str, value: str, least: int) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["compare", "a.csv", "b.csv", f"{option}={value}"])
    said = capsys.readouterr().err
    assert f"argument {option}: {value} is not a whole number of at least {least}" in said


def points(threshold: float, **high_recall) -> OperatingPoints:
    chosen = HighRecall(threshold, "a rule", 0.95, 0.95, True, True, 70, 0, 59)
    half = Point(0.5, "one half")
    return OperatingPoints(half, half, half, dataclasses.replace(chosen, **high_recall), None)


@pytest.fixture
def projects(files):
    """Two projects whose models have operating points: a and b."""

    def make(first: OperatingPoints, second: OperatingPoints) -> tuple[str, str]:
        names = []
        for name, seed, chosen in (("a", 0, first), ("b", 1, second)):
            for folder in ("reports", "models"):
                (files / name / folder).mkdir(parents=True, exist_ok=True)
            predictions(seed).to_csv(files / name / "reports/predictions.csv", index=False)
            write_operating_points(chosen, files / name / OPERATING_POINTS)
            names.append(f"{name}/reports/predictions.csv")
        return names[0], names[1]

    return make


def verdict_of(capsys, *arguments: str) -> list[str]:
    main(["compare", *arguments, "--draws", "100"])
    return capsys.readouterr().out.partition("Verdict:\n")[2].splitlines()


def test_errors_at_each_models_own_threshold_are_paired() -> None:
    table = pair("a.csv", "b.csv", "test")
    missed, alarms = errors_at(table, (0.3, 0.4))
    for found, label in ((missed, 1), (alarms, 0)):
        part = table[table["label"].eq(label)]
        wrong = [part[column].ge(at).ne(bool(label)) for column, at in (("first", 0.3), ("second", 0.4))]
        assert (found.n, found.first, found.second) == (len(part), wrong[0].sum(), wrong[1].sum())
        crossed = pd.crosstab(*wrong).reindex(index=[False, True], columns=[False, True], fill_value=0)
        assert (found.first_alone, found.second_alone) == (crossed.loc[True, False], crossed.loc[False, True])
        assert found.p_value == pytest.approx(min(1, mcnemar(crossed.to_numpy(), exact=True).pvalue))


def test_missed_cancers_and_false_alarms_stand_side_by_side(projects, capsys) -> None:
    main(["compare", *projects(points(0.2), points(0.3)), "--draws", "100"])
    said = capsys.readouterr().out
    rows = [line.split() for line in said.splitlines() if line.lstrip().startswith(("high_recall ", "default "))]
    missed, alarms = errors_at(pair("a.csv", "b.csv", "test"), (0.2, 0.3))
    for row, kind, found in ((rows[0], "missed cancers", missed), (rows[1], "false alarms", alarms)):
        assert row[:3] == ["high_recall", "0.2000", "0.3000"]
        assert row[3:5] == kind.split()
        assert [int(one) for one in row[5:10]] == list(found[:5])
        assert [float(one) for one in row[10:]] == pytest.approx([found.p_value, found.p_by_cluster], abs=5e-5)
    assert [row[:3] for row in rows[2:]] == [["default", "0.5000", "0.5000"]] * 2


def test_the_verdict_says_what_was_shown_on_how_many_and_what_may_be(projects, capsys) -> None:
    first, second = projects(points(0.2), points(0.3))
    said = verdict_of(capsys, first, second)
    assert said[0].startswith(
        "- No difference in AUC can be shown on 64 images of 32 lesions: A's is lower by 0.052 (from"
    )
    assert said[1].startswith(
        "- Each at its own high_recall point: of 32 malignant images A misses 0 (0 % to 20.6 %) and B 1 (<0.1 % to "
        "25.7 %): no difference can be shown (p = 1.000). Of 32 benign images A calls 20 malignant and B 11: "
        "no difference can be shown (p = 0.065)."
    )
    assert said[2].startswith("- Both at 0.5: of 32 malignant images A misses 7")
    assert said[3].startswith("- Each of these 6 tests sees a difference in up to 5 of 100 cases where there is none")
    assert said[4].startswith("- A and B do not say which files were predicted")
    assert len(said) == 5


def test_a_model_that_is_better_is_called_so_and_the_other_worse(projects, capsys) -> None:
    first, second = projects(points(0.3), points(0.3))
    better = predictions(1)
    better["probability"] = np.where(better["label"], 0.9, 0.1) + np.linspace(-0.09, 0.09, 80)
    better.to_csv(first, index=False)
    said = verdict_of(capsys, first, second, "--common")
    assert said[0].startswith("- A ranks better than B on 64 images of 32 lesions: its AUC is higher by 0.079 (0.0")
    assert said[1].startswith(
        "- A's probabilities are nearer to the truth than B's: its Brier score is lower by 0.1170 (0.0"
    )
    assert ": A raises fewer (p = 0.0" in said[2]
    assert verdict_of(capsys, second, first)[0].startswith("- A ranks worse than B on 64 images of 32 lesions")


def test_probabilities_that_are_wrong_alone_are_told_from_ranks_that_are(projects, capsys) -> None:
    first, second = projects(points(0.2), points(0.2))
    good = predictions(1)
    bad = good.assign(probability=good["probability"] ** 4)  # in the same order
    good.to_csv(first, index=False)
    bad.to_csv(second, index=False)
    scores = [
        brier_score_loss(*one[one["split"] == "test"][["label", "probability"]].T.to_numpy()) for one in (bad, good)
    ]
    apart = f"{scores[0] - scores[1]:.4f} (0."
    said = verdict_of(capsys, first, second)
    assert said[0].startswith("- No difference in AUC can be shown on 64 images of 32 lesions: A's is the same")
    start = "- A's probabilities are nearer to the truth than B's: its Brier score is lower by "
    assert said[1].startswith(start + apart)
    said = verdict_of(capsys, second, first)
    start = "- B's probabilities are nearer to the truth than A's: its Brier score is lower by "
    assert said[1].startswith(start + apart)


@pytest.mark.parametrize(("read", "compared"), [("aa", True), ("bb", False)])
def test_points_that_were_chosen_on_other_predictions_are_not_taken_for_a_model_s_own(
    projects, capsys, read: str, compared: bool
) -> None:
    first, second = projects(points(0.2), points(0.3))
    lock = (
        "stages: {evaluate: {outs: [{path: reports/predictions.csv, md5: aa}]}, "
        f"threshold: {{deps: [{{path: reports/predictions.csv, md5: {read}}}]}}}}"
    )
    Path("a/dvc.lock").write_text(lock)
    main(["compare", first, second, "--draws", "100"])
    said = capsys.readouterr().out
    assert ("Each at its own high_recall point" in said) == compared
    assert ("No operating point that was chosen on these predictions was found for A, so" in said) == (not compared)


def test_what_must_be_known_beside_a_verdict_is_said(projects, capsys) -> None:
    chosen = points(0.0, reached=False), points(0.3, guaranteed=False, lesions=4, confidence=0.9)
    first, second = projects(*chosen)
    predictions(1).iloc[1:].to_csv(second, index=False)
    said = verdict_of(capsys, first, second)
    assert "- A calls every benign image malignant there, so missing few cancers is no merit." in said
    assert "- The two were chosen on different val images, 16 and 15, of which they share 15." in said
    assert any(line.startswith("- A, high_recall: This operating point is of no use") for line in said)
    assert any(line.startswith("- B, high_recall: The sensitivity of 95 % that it aims at is not") for line in said)
    assert (
        "- A's high_recall point aims at a sensitivity of 95 % with 95 % confidence, B's at 95 % with 90 % confidence."
        in said
    )


def test_without_operating_points_the_aucs_alone_are_compared_unless_thresholds_are_given(projects, capsys) -> None:
    projects(points(0.2), points(0.3))
    main(["compare", "a.csv", "b/reports/predictions.csv", "--draws", "100"])
    said = capsys.readouterr().out
    assert "was chosen on these predictions was found for A, so no errors are compared; --threshold-a gives" in said
    assert "missed cancers" not in said
    main(["compare", "a.csv", "b/reports/predictions.csv", "--draws", "100", "--threshold-a", "0.4"])
    said = capsys.readouterr().out
    assert "the given threshold and high_recall       0.4000       0.3000 missed cancers" in said
    assert "- A at the given threshold and B at its own high_recall point: of 32 malignant images A misses" in said
    with pytest.raises(SystemExit, match="2"):
        main(["compare", "a.csv", "b.csv", "--threshold-a", "95%"])
    assert "argument --threshold-a: 95% is not a number from 0 to 1" in capsys.readouterr().err


def test_a_pooled_table_has_no_operating_point_of_its_own(projects, capsys, files) -> None:
    projects(points(0.2), points(0.3))
    predictions(0).to_csv(files / "a/reports/pooled_predictions.csv", index=False)
    main(["compare", "a/reports/pooled_predictions.csv", "b/reports/predictions.csv", "--draws", "100"])
    assert "No operating point that was chosen on these predictions was found for A" in capsys.readouterr().out


def test_operating_points_that_are_none_are_named(projects, capsys) -> None:
    first, second = projects(points(0.2), points(0.3))
    path = Path("a") / OPERATING_POINTS
    lacking = {name: point for name, point in json.loads(path.read_text()).items() if name != "high_recall"}
    path.write_text(json.dumps(lacking))
    with pytest.raises(SystemExit, match="1"):
        main(["compare", first, second, "--draws", "100"])
    assert "operating_points.json lacks 'high_recall'" in capsys.readouterr().err


def test_a_revision_brings_its_own_operating_points(projects, files, monkeypatch, capsys) -> None:
    projects(points(0.2), points(0.3))
    monkeypatch.chdir(files / "a")

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)

    git("init", "--quiet")
    subprocess.run(["dvc", "init", "--quiet"], check=True, capture_output=True)
    git("add", "--all")
    git("commit", "--quiet", "--message", "One")
    write_operating_points(points(0.35), files / "a" / OPERATING_POINTS)
    git("add", "--all")
    git("commit", "--quiet", "--message", "Two")
    main(["compare", "HEAD~1", "HEAD", "--draws", "100"])
    said = capsys.readouterr().out
    assert "high_recall       0.2000       0.3500 missed cancers" in said
    assert "- A and B give each of 64 images the same probability: they differ in their thresholds alone.\n" in said
    assert "- Each at its own high_recall point: of 32 malignant images A misses" in said
    assert "Both at 0.5" not in said.partition("Verdict:")[2]
    main(["compare", "HEAD", "HEAD", "--draws", "100"])
    assert "the same probability: there is no difference.\n" in capsys.readouterr().out


def test_two_models_without_an_error_are_not_certain_to_be_equal() -> None:
    table = pair("a.csv", "b.csv", "test")
    apart = table["label"] * 0.5 + np.linspace(0.1, 0.3, len(table))
    found = compare(table.assign(first=apart, second=apart**2), draws=50, seed=0)
    most = hoeffding(0.0, 16, 0.975).high  # 16 lesions of each class
    for row in found[found["measure"].eq("ROC AUC")].to_dict("records"):
        assert (row["first"], row["second"], row["difference"]) == (1, 1, 0)
        assert (row["low"], row["high"]) == pytest.approx((-most, most))
    rest = found[found["measure"].ne("ROC AUC")].set_index("measure")
    assert rest.loc[["ROC AUC above 80 % sensitivity", "average precision"], ["low", "high"]].isna().all(axis=None)
    assert rest.loc["Brier score (lower is better)", ["low", "high"]].isna().all()  # none is on the wrong side of 1/2
    assert found["p_value"].isna().all()
