import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermascreen.artifacts.dataset.details import PartCounts
from dermascreen.artifacts.dataset.lesions import Lesions
from dermascreen.artifacts.dataset.manifest import Manifest
from dermascreen.artifacts.dataset.metadata import Metadata
from dermascreen.artifacts.dataset.splits import Splits
from dermascreen.core.errors import ParamsError, TooFewLesionsError
from dermascreen.core.params import HoldOutParams, SplitParams
from dermascreen.data import splits
from dermascreen.data.splits import folders_used, summarise

NONE = HoldOutParams(column="", values=[])


def of_lesions(paths: np.ndarray, lesion: np.ndarray) -> Lesions:
    """Lesions of patients of whom nothing is known."""
    return Lesions(paths, lesion, lesion)


def make(lesions: list[int], labels: list[int], sources: list[str]) -> tuple[Manifest, Lesions]:
    paths = np.array([f"{source}/{number}.jpg" for number, source in enumerate(sources)], dtype=object)
    sides, sources = np.full(len(paths), 32), np.array(sources, dtype=object)
    return Manifest(paths, np.array(labels), sources, sides, sides, paths), of_lesions(paths, np.array(lesions))


def split_images(manifest: Manifest, lesions: Lesions, params: SplitParams) -> pd.DataFrame:
    return splits.split_images(manifest, lesions, Metadata.of(manifest.path), params).to_frame()


def with_a_near_duplicate_in_test() -> Lesions:
    return of_lesions(LESIONS.path, np.where(LESIONS.lesion == 3, 35, LESIONS.lesion))


def params(protocol: str = "official", seed: int = 0, val: float = 0.25, test: float = 0.25) -> SplitParams:
    return SplitParams(
        protocol=protocol,
        val_fraction=val,
        test_fraction=test,
        selection_fraction=0.0,
        folds=0,
        fold=0,
        seed=seed,
        hold_out=NONE,
    )


def fold(number: int, folds: int = 4) -> SplitParams:
    return params("grouped").model_copy(update={"folds": folds, "fold": number})


MANIFEST, LESIONS = make([*range(40)], [0, 1] * 20, ["train"] * 32 + ["test"] * 8)


def test_official_keeps_the_test_folder_and_divides_the_rest_by_label() -> None:
    split = split_images(MANIFEST, LESIONS, params())
    assert split["path"].tolist() == MANIFEST.path.tolist()
    assert split.loc[split["split"].eq("test"), "path"].tolist() == MANIFEST.path.tolist()[32:]
    assert split.groupby(["split", "label"]).size().to_dict() == {
        ("test", 0): 4, ("test", 1): 4, ("train", 0): 12, ("train", 1): 12, ("val", 0): 4, ("val", 1): 4,
    }  # fmt: skip


def test_official_excludes_the_training_near_duplicates_of_test_lesions() -> None:
    lesions = with_a_near_duplicate_in_test()
    split = split_images(MANIFEST, lesions, params())
    assert split.loc[split["split"].eq("excluded"), "path"].tolist() == ["train/3.jpg"]
    assert summarise(Splits.of(split), Metadata.of(split["path"])).excluded == PartCounts(
        images=1, lesions=1, benign=0, malignant=1
    )
    assert summarise(Splits.of(split), Metadata.of(split["path"])).test == PartCounts(
        images=8, lesions=8, benign=4, malignant=4
    )


FOLDERS = ["train"] * 24 + ["val"] * 8 + ["test"] * 8
# Lesions on several sides: of train and val, val and test, train and test, all three.
SHARED = {0: 24, 25: 33, 2: 34, 3: 35, 26: 35}


def with_val() -> tuple[Manifest, Lesions]:
    return make(
        [SHARED.get(lesion, lesion) for lesion in range(40)], [number // 2 % 2 for number in range(40)], FOLDERS
    )


def test_official_uses_the_val_folder_without_lesions_of_test_and_train_without_those_of_either() -> None:
    manifest, lesions = with_val()
    split = split_images(manifest, lesions, params(val=0.9))["split"]
    expected = pd.Series(FOLDERS)
    expected[[0, 2, 3, 25, 26]] = "excluded"
    assert split.tolist() == expected.tolist()
    assert folders_used(manifest, params()) == ["val", "test"]
    assert folders_used(MANIFEST, params()) == ["test"]


def test_near_duplicates_in_train_are_left_there_those_of_val_and_in_val_are_not() -> None:
    split = split_images(*with_val(), params("official_with_duplicates"))["split"]
    expected = pd.Series(FOLDERS)
    expected[[0, 25, 26]] = "excluded"
    assert split.tolist() == expected.tolist()


def test_grouped_pools_the_val_folder() -> None:
    manifest, lesions = with_val()
    split = split_images(manifest, lesions, params("grouped"))
    assert split.groupby("lesion")["split"].nunique().max() == 1
    assert set(split["split"]) == {"train", "val", "test"}
    assert split.loc[manifest.source_split == "val", "split"].nunique() == 3
    assert folders_used(manifest, params("grouped")) == []


@pytest.mark.parametrize("protocol", ["official", "official_with_duplicates"])
@pytest.mark.parametrize("folders", [["train"], ["none"], ["train", "val"]])
def test_without_a_test_folder_there_is_no_official_test(protocol: str, folders: list[str]) -> None:
    manifest, lesions = make([*range(40)], [0, 0, 1, 1] * 10, folders * (40 // len(folders)))
    with pytest.raises(
        ParamsError,
        match=f"^split.protocol is {protocol}, but the data set has no test folder; set split.protocol=grouped, and",
    ):
        split_images(manifest, lesions, params(protocol))
    assert set(split_images(manifest, lesions, params("grouped"))["split"]) == {"train", "val", "test"}


def test_a_val_folder_of_one_class_is_refused() -> None:
    manifest, lesions = make([*range(40)], [0, 1] * 12 + [0] * 8 + [0, 1] * 4, FOLDERS)
    sentence = "too few lesions for val: 8 benign and 0 malignant, .*; add images or set split.protocol=grouped"
    with pytest.raises(TooFewLesionsError, match=sentence):
        split_images(manifest, lesions, params())


def test_grouped_ignores_the_folders() -> None:
    split = split_images(MANIFEST, LESIONS, params("grouped"))
    assert split["split"].value_counts().to_dict() == {"train": 22, "test": 10, "val": 8}
    assert not split.loc[split["split"].eq("test"), "path"].str.startswith("test/").all()


def test_near_duplicates_left_in_train_change_nothing_else() -> None:
    lesions = with_a_near_duplicate_in_test()
    purged = split_images(MANIFEST, lesions, params())["split"]
    leaky = split_images(MANIFEST, lesions, params("official_with_duplicates"))["split"]
    assert leaky.tolist() == purged.replace("excluded", "train").tolist()


def test_fewer_patients_than_folds_are_one_sentence() -> None:
    manifest, lesions = make([*range(40)], [0, 1] * 20, ["none"] * 40)
    few = Lesions(lesions.path, lesions.lesion, lesions.lesion % 3)
    sentence = r"^split\.folds is 4, but .* and there are 3 to divide; lower split\.folds or add images\.$"
    with pytest.raises(ParamsError, match=sentence):
        split_images(manifest, few, fold(0))


def test_a_column_of_infinite_numbers_has_no_range() -> None:
    column = np.array(["1", "inf"] * 20, dtype=object)
    table = pd.DataFrame({"dose": column}, index=MANIFEST.path)
    assert splits._count("dose", table["dose"], np.array(["train"] * 20 + ["test"] * 20)).ranges == {}


def test_ages_have_the_range_of_the_groups_that_they_make() -> None:
    years = pd.Series([*(f"{age} years" for age in range(20, 59)), "85+ years"])
    unknown = pd.Series([*map(str, range(20, 59)), "999"])
    split = np.array(["train"] * 20 + ["test"] * 20)
    assert splits._count("age_approx", years, split).ranges == {"train": (20, 39), "test": (40, 85)}
    assert splits._count("age_approx", unknown, split).ranges == {"train": (20, 39), "test": (40, 58)}
    assert splits._count("dose", unknown, split).ranges == {"train": (20, 39), "test": (40, 999)}
    assert splits._count("dose", years, split).ranges == {}


def test_folds_hold_every_lesion_once_and_each_class_evenly() -> None:
    tables = [split_images(MANIFEST, LESIONS, fold(number)) for number in range(4)]
    tested = [table.loc[table["split"].eq("test"), "lesion"].tolist() for table in tables]
    assert sorted(itertools.chain(*tested)) == [*range(40)]
    for table in tables:
        assert table.loc[table["split"].eq("test"), "label"].tolist().count(1) == 5
        assert set(table["split"]) == {"train", "val", "test"}


def test_too_many_folds_is_one_sentence() -> None:
    with pytest.raises(TooFewLesionsError, match="too few lesions for 11 folds: 20 benign and 20 malignant"):
        split_images(MANIFEST, LESIONS, fold(0, 11))


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 59), min_size=80, max_size=80),
    st.sampled_from(["official", "grouped"]),
    st.sampled_from(["train", "val"]),
    st.integers(0, 2**32 - 1),
)
def test_no_lesion_is_in_two_splits(lesions: list[int], protocol: str, second: str, seed: int) -> None:
    manifest, table = make(lesions, [lesion % 2 for lesion in lesions], ["train"] * 48 + [second] * 16 + ["test"] * 16)
    try:
        split = split_images(manifest, table, params(protocol, seed))
    except TooFewLesionsError:
        return
    used = split[split["split"].ne("excluded")]
    assert used.groupby("lesion")["split"].nunique().eq(1).all()
    assert set(split["split"]) <= {"train", "val", "test", "excluded"}
    if protocol == "official":
        assert split["split"].eq("test").tolist() == (manifest.source_split == "test").tolist()
        if second == "val":
            assert used["split"].eq(manifest.source_split[used.index]).all()
    else:
        assert split["split"].ne("excluded").all()


def test_a_seed_gives_one_split_and_another_seed_another() -> None:
    first = split_images(MANIFEST, LESIONS, params(seed=1))
    assert first.equals(split_images(MANIFEST, LESIONS, params(seed=1)))
    assert not first.equals(split_images(MANIFEST, LESIONS, params(seed=2)))


@pytest.mark.parametrize(
    ("labels", "val", "sentence"),
    [
        ([0] * 30 + [1, 1] + [0, 1] * 4, 0.25, "too few lesions for val: 8 benign and 0 malignant"),
        ([0, 1] * 20, 0.01, "too few lesions for train and val: 16 benign and 16 malignant"),
    ],
)
def test_too_few_lesions_is_one_sentence(labels: list[int], val: float, sentence: str) -> None:
    manifest, lesions = make([*range(40)], labels, ["train"] * 32 + ["test"] * 8)
    with pytest.raises(TooFewLesionsError, match=sentence):
        split_images(manifest, lesions, params(val=val))


def test_a_train_folder_whose_lesions_are_all_in_test_is_not_blamed_on_the_fractions() -> None:
    manifest, lesions = make([*range(20)] * 2, [0, 1] * 20, ["train"] * 20 + ["test"] * 20)
    with pytest.raises(TooFewLesionsError, match=r"0 benign and 0 malignant, .*; add images or set split"):
        split_images(manifest, lesions, params())
    assert set(split_images(manifest, lesions, params("grouped"))["split"]) == {"train", "val", "test"}


def test_a_test_folder_of_one_class_is_refused() -> None:
    manifest, lesions = make([*range(40)], [0, 1] * 16 + [0] * 8, ["train"] * 32 + ["test"] * 8)
    with pytest.raises(TooFewLesionsError, match="too few lesions for test: 8 benign and 0 malignant"):
        split_images(manifest, lesions, params())


def with_patients(sizes: list[int], sick: float = 0.3, seed: int = 0) -> tuple[Manifest, Lesions, Metadata]:
    """Patients with so many lesions each, of one photograph; some patients have far more malignant ones than others."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(len(sizes)), sizes)
    risk = rng.beta(sick, 1 - sick, len(sizes))[patient]
    label = (rng.random(len(patient)) < risk).astype(int)
    manifest, lesions = make([*range(len(patient))], label.tolist(), ["none"] * len(patient))
    known = pd.DataFrame(
        {"lesion": "", "patient": [str(one) for one in patient], "hospital": np.where(patient % 3, "Nord", "Süd")},
        index=pd.Index(manifest.path),
    )  # fmt: skip
    return manifest, Lesions(lesions.path, lesions.lesion, patient), Metadata.of(manifest.path, known)


SIZES = [1] * 60 + [2] * 40 + [3] * 20 + [5] * 12 + [10] * 8 + [30] * 3 + [80]


@pytest.mark.parametrize("seed", range(5))
def test_a_patient_is_on_one_side_and_the_sides_are_even(seed) -> None:
    manifest, lesions, metadata = with_patients(SIZES, seed=seed)
    split = splits.split_images(manifest, lesions, metadata, params("grouped", seed, 0.2, 0.2)).to_frame()
    sides = split.assign(patient=lesions.patient).groupby("patient")["split"].nunique()
    assert sides.max() == 1
    share = split.groupby("split").size() / len(split)
    assert abs(share["test"] - 0.2) < 0.02
    malignant = split[split["label"].eq(1)].groupby("split").size() / split["label"].sum()
    assert abs(malignant["test"] - 0.2) < 0.02
    again = splits.split_images(manifest, lesions, metadata, params("grouped", seed, 0.2, 0.2)).to_frame()
    assert split.equals(again)


def test_patients_are_whole_in_every_fold() -> None:
    manifest, lesions, metadata = with_patients(SIZES)
    tests = []
    for number in range(4):
        split = splits.split_images(manifest, lesions, metadata, fold(number)).to_frame()
        assert split.assign(patient=lesions.patient).groupby("patient")["split"].nunique().max() == 1
        tests.append(set(split.loc[split["split"].eq("test"), "path"]))
    assert sum(map(len, tests)) == len(set.union(*tests)) == len(manifest)


def test_official_leaves_out_other_photographs_of_the_patients_in_test() -> None:
    manifest, lesions = make([*range(40)], [0, 1] * 20, ["train"] * 32 + ["test"] * 8)
    patient = lesions.lesion.copy()
    patient[0] = patient[39]
    split = split_images(manifest, Lesions(lesions.path, lesions.lesion, patient), params())
    assert split.loc[split["split"].eq("excluded"), "path"].tolist() == ["train/0.jpg"]


def hold_out(column: str, *values: str) -> SplitParams:
    return params("grouped").model_copy(update={"hold_out": HoldOutParams(column=column, values=[*values])})


def test_a_hospital_is_held_out_with_all_of_its_patients() -> None:
    manifest, lesions, metadata = with_patients(SIZES)
    elsewhere = metadata.frame.copy()
    moved = int(
        np.flatnonzero(
            (elsewhere["hospital"] == "Süd")
            & (pd.Series(lesions.patient).map(pd.Series(lesions.patient).value_counts()) > 1)
        )[0]
    )
    elsewhere.loc[moved, "hospital"] = "Nord"
    split = splits.split_images(manifest, lesions, Metadata(elsewhere), hold_out("hospital", "SÜD")).to_frame()
    assert set(np.flatnonzero(split["split"].eq("test"))) == set(np.flatnonzero(elsewhere["hospital"].eq("Süd")))
    assert np.flatnonzero(split["split"].eq("excluded")).tolist() == [moved]
    assert set(split["split"]) == {"train", "val", "test", "excluded"}


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        (
            hold_out("klinik", "Nord"),
            "split.hold_out.column is klinik, but the columns of data/metadata.csv are hospital.",
        ),
        (
            hold_out("hospital", "Nord", "West"),
            "split.hold_out.values names West, which no photograph has as hospital; there are Nord, Süd.",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_held_out_is_named(params, sentence) -> None:
    with pytest.raises(ParamsError) as error:
        splits.split_images(*with_patients(SIZES), params)
    assert str(error.value) == sentence


def test_nothing_can_be_held_out_where_there_is_no_table() -> None:
    with pytest.raises(ParamsError, match=r"metadata\.csv are none, as the data have no table\."):
        splits.split_images(MANIFEST, LESIONS, Metadata.of(MANIFEST.path), hold_out("hospital", "Nord"))


@pytest.mark.parametrize("protocol", ["official", "grouped"])
def test_lesions_set_aside_choose_the_epoch_and_leave_val_and_test_as_they_are(protocol) -> None:
    before = split_images(MANIFEST, LESIONS, params(protocol))
    aside = params(protocol).model_copy(update={"selection_fraction": 0.25})
    after = splits.split_images(MANIFEST, LESIONS, Metadata.of(MANIFEST.path), aside)
    table = after.to_frame()
    for name in ("val", "test"):
        assert table["split"].eq(name).equals(before["split"].eq(name))
    assert table["split"].eq("selection").sum() == round(0.25 * before["split"].eq("train").sum())
    assert after.chooses_epoch == "selection"
    assert Splits.of(before).chooses_epoch == "val"
    found = summarise(after, Metadata.of(MANIFEST.path))
    assert [*found.parts] == ["train", "selection", "val", "test"]


def test_patients_are_counted_where_any_is_known() -> None:
    lesions = Lesions(LESIONS.path, LESIONS.lesion, LESIONS.lesion // 2)
    unknown = Metadata.of(MANIFEST.path)
    split = splits.split_images(MANIFEST, lesions, unknown, params("grouped"))
    assert split.patient.tolist() == lesions.patient.tolist()
    of_test = split.part("test")
    found = summarise(split, unknown).test
    assert (found.patients, found.unit) == (None, "lesion")
    names = pd.DataFrame(
        {"lesion": "", "patient": [str(one) for one in lesions.patient]}, index=pd.Index(MANIFEST.path)
    )
    found = summarise(split, Metadata.of(MANIFEST.path, names)).test
    assert (found.lesions, found.patients) == (len(of_test), len(set(of_test.patient)))
    assert found.unit == "patient"


def test_only_near_duplicates_return_to_train_not_all_that_their_patients_have() -> None:
    manifest, lesions = make([*range(40)], [0, 1] * 20, ["train"] * 32 + ["test"] * 8)
    lesion, patient = lesions.lesion.copy(), lesions.lesion.copy()
    lesion[0] = patient[0] = 39  # a photograph of a lesion of test
    patient[2] = 39  # another lesion of its patient
    table = Lesions(lesions.path, lesion, patient)
    split = split_images(manifest, table, params("official_with_duplicates")).set_index("path")["split"]
    assert (split["train/0.jpg"], split["train/2.jpg"]) == ("train", "excluded")


def test_too_few_patients_are_said_to_be_too_few() -> None:
    manifest, lesions = make([*range(60)], [0] * 30 + [1] * 30, ["none"] * 60)
    patient = np.concatenate([np.arange(30), np.full(30, 99)])
    table = Lesions(lesions.path, lesions.lesion, patient)
    with pytest.raises(
        TooFewLesionsError,
        match="too few patients, who each stay in one split, for test and the rest: 30 benign and 1 malignant",
    ):
        split_images(manifest, table, params("grouped"))


def test_where_hold_out_leaves_too_few_it_is_named() -> None:
    manifest, lesions = make([*range(40)], [0, 1] * 20, ["none"] * 40)
    known = pd.DataFrame({"lesion": "", "patient": "", "site": ["A"] * 39 + ["B"]}, index=pd.Index(manifest.path))
    with pytest.raises(TooFewLesionsError, match=r"or hold out other values with split\.hold_out\."):
        splits.split_images(manifest, lesions, Metadata.of(manifest.path, known), hold_out("site", "A"))


def test_what_is_left_of_a_test_is_counted_before_anything_is_trained() -> None:
    manifest, lesions = make([*range(44)], [0] * 20 + [1] * 20 + [0, 0, 1, 1], ["none"] * 44)
    patient = lesions.lesion.copy()
    patient[[20, 21]] = patient[[40, 41]]  # two malignant lesions at A, of patients with benign ones at B
    site = ["A"] * 40 + ["B"] * 2 + ["A"] * 2
    known = pd.DataFrame({"lesion": "", "patient": "", "site": site}, index=pd.Index(manifest.path))
    table = Lesions(lesions.path, lesions.lesion, patient)
    with pytest.raises(TooFewLesionsError, match="for test: 2 benign and 0 malignant"):
        splits.split_images(manifest, table, Metadata.of(manifest.path, known), hold_out("site", "B"))
