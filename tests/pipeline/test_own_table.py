"""A table of a user's own through the real pipeline: what it says of patients, places and people is used and kept."""

import io
import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from dermascreen.core.params import SyntheticParams
from dermascreen.data.sources.synthetic import photographs
from dermascreen.experiments.workspace import make_workspace

from .conftest import TINY, shell

NAME = "Mustermann"


def write_archive(path: Path) -> pd.DataFrame:
    """Photographs that are not square, and a table of them; returned by image."""
    rows = {}
    with zipfile.ZipFile(path, "w") as archive:
        for number, photograph in enumerate(photographs(SyntheticParams(images=72, size=48, seed=3))):
            wide, file = Image.new("RGB", (60, 48), (190, 150, 130)), io.BytesIO()
            wide.paste(Image.open(io.BytesIO(photograph.content)), (6, 0))
            wide.save(file, "JPEG")
            archive.writestr(f"images/ISIC_{number:07}.jpg", file.getvalue())
            rows[f"ISIC_{number:07}"] = {
                "diagnosis": "Melanoma" if "malignant" in photograph.path else "Nevus",
                "patient": f"{NAME} {photograph.lesion // 2}",  # who has two lesions
                "age": str(20 + 5 * (number % 13)) if number % 7 else "",
                "sex": ("male", "female")[photograph.lesion // 2 % 2],
                "clinic": ("Nord", "Süd")[photograph.lesion // 2 % 3 == 0],
                "born": f"19{number % 90 + 10}-01-01",
            }
        table = pd.DataFrame.from_dict(rows, orient="index")
        archive.writestr("metadata.csv", table.to_csv(index_label="image", sep=";"))
    return table


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, pd.DataFrame, str]:
    folder = tmp_path_factory.mktemp("table")
    table = write_archive(folder / "photographs.zip")
    make_workspace(
        folder / "project",
        TINY
        | {
            "data.source": "table",
            "data.archive": str(folder / "photographs.zip"),
            "split.protocol": "grouped",
            "split.val_fraction": 0.3,
            "preprocess.fit": "pad",
            "threshold.groups": ["sex"],
        },
    )
    return folder / "project", table, shell(folder / "project", "dvc", "repro").stdout


def test_all_that_the_table_says_arrives(trained) -> None:
    project, table, _ = trained
    metadata = pd.read_csv(project / "data/metadata.csv", dtype=str, keep_default_na=False)
    metadata = metadata.set_index(metadata["path"].map(lambda path: Path(path).stem))
    for column in ("diagnosis", "age", "sex"):
        assert metadata[column].to_dict() == table[column].to_dict()
    assert metadata["site"].to_dict() == table["clinic"].to_dict()
    assert "born" not in metadata
    assert json.loads((project / "reports/details/download.json").read_text())["table"]["personal"] == ["born"]


def test_a_patient_is_in_one_split(trained) -> None:
    project, table, _ = trained
    splits = pd.read_csv(project / "data/splits.csv")
    patient = splits["path"].map(lambda path: table.loc[Path(path).stem, "patient"])
    assert patient.nunique() < len(splits) / 2
    assert splits.groupby(patient)["split"].nunique().max() == 1
    assert set(splits["split"]) == {"train", "val", "test"}


def test_patients_are_kept_together_in_whatever_is_computed(trained) -> None:
    project, table, _ = trained
    test = pd.read_csv(project / "reports/predictions.csv").query("split == 'test'")
    patient = test["path"].map(lambda path: table.loc[Path(path).stem, "patient"])
    assert test.groupby("patient").size().tolist() == test.groupby(patient, sort=False).size().tolist()
    counts = json.loads((project / "reports/details/split.json").read_text())["test"]
    assert counts["patients"] == patient.nunique() < counts["lesions"]
    of = f"the {len(test)} test images show {counts['lesions']} lesions of {counts['patients']} patients."
    for file in ("models/MODEL_CARD.md", "reports/report.html"):
        text = (project / file).read_text()
        assert of in text
        assert "which draws whole patients" in text


def test_results_are_told_by_group_and_who_is_missing_is_said(trained) -> None:
    project, _, said = trained
    assert "A recall of 0.95 cannot be promised for sex female: of its patients with malignant lesions val has " in said
    groups = json.loads((project / "reports/details/threshold.json").read_text())["subgroups"]["columns"]
    assert set(groups) == {"site", "age", "sex"}
    test = pd.read_csv(project / "reports/predictions.csv").query("split == 'test'")
    assert sum(group["images"] for group in groups["sex"].values()) == len(test)
    page = (project / "reports/report.html").read_text()
    assert "For whom these results hold" in page
    assert "The data do not tell skin type, body site, how it was confirmed, camera" in page


def test_what_the_picture_adds_to_age_and_sex_is_said(trained) -> None:
    project, _, _ = trained
    found = json.loads((project / "reports/details/shortcuts.json").read_text())["covariates"]
    assert found["columns"] == ["age", "sex"]
    scores = pd.read_csv(project / "reports/shortcuts.csv")
    alone, both, network = (
        roc_auc_score(scores["label"], scores[name]) for name in ("covariates", "with_covariates", "network")
    )
    assert found["alone"]["roc_auc"] == pytest.approx(alone)
    assert found["together"]["roc_auc"] == pytest.approx(both)
    assert found["picture_adds"]["difference"] == pytest.approx(both - alone)
    assert found["covariates_add"]["difference"] == pytest.approx(both - network)
    sentence = f"Without any picture, age and sex alone give an AUC of {alone:.3f} on test."
    assert sentence in (project / "models/MODEL_CARD.md").read_text()
    page = (project / "reports/report.html").read_text()
    assert sentence in page
    assert "both minus this model" in page


def test_no_name_of_a_patient_leaves_the_users_table(trained) -> None:
    project, _, said = trained
    assert NAME not in said
    for file in project.rglob("*"):
        if file.is_file() and ".dvc/cache" not in file.as_posix():
            assert NAME.encode() not in file.read_bytes(), file
    for file in (project / ".dvc/cache").rglob("*"):
        assert not file.is_file() or NAME.encode() not in file.read_bytes()


def test_the_model_prepares_photographs_as_in_training(trained) -> None:
    project, _, _ = trained
    described = json.loads((project / "models/model.json").read_text())
    assert (described["fit"], described["field_of_view"]) == ("pad", "keep")
    paths = pd.read_csv(project / "reports/predictions.csv").set_index("path")["logit"]
    shown = shell(project, "dermascreen", "predict", f"data/raw/{paths.index[0]}", "--json").stdout
    assert json.loads(shown)["logit"] == pytest.approx(paths.iloc[0], abs=1e-6)


def test_a_hospital_is_held_out_by_two_parameters(trained) -> None:
    project, table, _ = trained
    shell(
        project, "dvc", "exp", "run", "--name", "elsewhere", "-S", "split.hold_out.column=site",
        "-S", 'split.hold_out.values=["süd"]', "split",
    )  # fmt: skip
    splits = pd.read_csv(project / "data/splits.csv")
    site = splits["path"].map(lambda path: table.loc[Path(path).stem, "clinic"])
    assert set(splits.loc[splits["split"].eq("test"), "path"]) == set(splits.loc[site.eq("Süd"), "path"])
