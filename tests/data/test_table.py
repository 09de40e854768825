"""Photographs whose class, lesion and patient are told by tables, as people make them."""

import hashlib
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermascreen.artifacts.dataset.metadata import Metadata
from dermascreen.core.errors import ArchiveError, BadTableError, DermascreenError, ParamsError, TableError
from dermascreen.core.params import DataParams, SyntheticParams, TableColumns
from dermascreen.data.sources.fetch import KNOWN_LAYOUTS, Stored, fetch, summarise, unpack
from dermascreen.data.sources.layouts import count_left_out
from dermascreen.data.sources.table.columns import PUBLISHED, personal
from dermascreen.data.sources.table.labels import BENIGN, MALIGNANT, NEITHER, key
from dermascreen.data.sources.table.rows import BLANK, read_rows

SHARED = Path("../shared/data")

PLAIN = "image,diagnosis,patient,age,sex\n1.jpg,melanoma,a,71,male\n2.jpg,nevus,a,71,male\n3.jpg,nevus,b,,female\n"


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Stored]:
    """Fetch by table; what fails must leave nothing behind."""
    target = tmp_path / "data"

    def run(archive: Path, **changes: object) -> Stored:
        columns = KNOWN_LAYOUTS.columns.model_copy(update=changes.pop("columns", {}))
        nowhere = tmp_path / "no tables"
        nowhere.mkdir(exist_ok=True)
        table = KNOWN_LAYOUTS.model_copy(
            update={"files": str(nowhere), "max_unmatched": 0.05} | changes | {"columns": columns}
        )
        params = DataParams(
            source="table", slug="a/b", archive=str(archive), max_unpacked_gib=1.0, table=table,
            synthetic=SyntheticParams(images=16, size=32, seed=0),
        )  # fmt: skip
        try:
            return fetch(params, tmp_path, target / "raw", target / "manifest.csv", target / "metadata.csv")
        except DermascreenError:
            assert not list(target.rglob("*"))
            raise

    return run


@pytest.fixture
def give(make_zip, jpeg) -> Callable[..., Path]:
    """A zip of a table and of the photographs 1.jpg and so on, or of those that are named."""

    def make(table: str | bytes, names: int | list[str] = 3, name: str = "metadata.csv") -> Path:
        files = [f"{number + 1}.jpg" for number in range(names)] if isinstance(names, int) else names
        content = table.encode() if isinstance(table, str) else table
        return make_zip({file: jpeg(seed) for seed, file in enumerate(files)} | {name: content})

    return make


def classes(stored: Stored) -> dict[str, int]:
    manifest = stored.manifest
    return {Path(path).name: int(label) for path, label in zip(manifest.path, manifest.label, strict=True)}


def known(stored: Stored, column: str) -> dict[str, str]:
    metadata = stored.metadata
    return {Path(path).name: text for path, text in zip(metadata["path"], metadata[column], strict=True)}


def test_a_plain_table_is_understood_without_a_parameter_and_nothing_of_it_is_lost(read, give, tmp_path) -> None:
    stored = read(give(PLAIN))
    assert stored.manifest.path.tolist() == ["benign/2.jpg", "benign/3.jpg", "malignant/1.jpg"]
    assert stored.manifest.source_split.tolist() == ["none"] * 3
    written = Metadata.read(tmp_path / "data/metadata.csv")
    assert written.frame.equals(stored.metadata.frame)
    assert written.columns == ["diagnosis", "age", "sex"]
    assert written.frame.set_index("path").loc["malignant/1.jpg"].tolist() == ["", "1", "melanoma", "71", "male"]
    assert known(stored, "patient") == {"1.jpg": "1", "2.jpg": "1", "3.jpg": "2"}
    table = summarise(stored).table
    assert (table.rows, table.patients, table.lesions, table.personal) == (3, 2, 0, [])
    assert table.labels == {"benign": {"nevus": 2}, "malignant": {"melanoma": 1}}
    assert stored.known.sentences == [
        "metadata.csv (a table of its own): image is image, label is diagnosis, patient is patient.",
        "Labels taken as benign: nevus 2.",
        "Labels taken as malignant: melanoma 1.",
        "Kept of the tables: diagnosis, age, sex.",
    ]


def test_a_table_whose_column_of_images_is_blank_is_one_sentence(read, give) -> None:
    table = "image,filename,label\n,1.jpg,nevus\n,2.jpg,melanoma\n,3.jpg,nevus\n"
    with pytest.raises(
        TableError,
        match=r"^metadata\.csv names no image: .*; set data\.table\.columns\.image in params\.yaml, or with ",
    ):
        read(give(table))


def test_a_folder_with_zips_and_a_table_in_another_place_give_the_same(read, give, make_folder, tmp_path, jpeg) -> None:
    expected = read(give(PLAIN)).manifest.to_frame()
    folder = make_folder({"about.txt": b"", "2.jpg": jpeg(1)})
    for name, inside in (("part_1.zip", {"a/1.jpg": jpeg(0)}), ("part_2.ZIP", {"3.JPG": jpeg(2)})):
        with zipfile.ZipFile(folder / name, "w") as archive:
            for file, content in inside.items():
                archive.writestr(file, content)
    (tmp_path / "elsewhere.csv").write_text(PLAIN)
    stored = read(folder, files=str(tmp_path / "elsewhere.csv"))
    assert stored.manifest.sha256.tolist() == expected["sha256"].tolist()
    assert count_left_out(stored.left_out) == dict.fromkeys(count_left_out({}), 0) | {"no_images": 1}


LAYOUTS = {
    "ISIC Archive": (
        "isic_id,attribution,diagnosis_1,diagnosis_3,lesion_id,age_approx\n"
        "1,A,Malignant,Melanoma,IL_1,55\n2,B,Benign,Nevus,IL_2,\n3,B,Benign,Nevus,IL_2,\n",
        {"1.jpg": "IL_1", "2.jpg": "IL_2", "3.jpg": "IL_2"},
    ),
    "HAM10000": (
        "lesion_id,image_id,dx,dx_type,age,sex,localization\n"
        "HAM_1,1,mel,histo,55.0,male,back\nHAM_2,2,nv,histo,50.0,female,face\nHAM_2,3,bkl,histo,50.0,female,face\n",
        {"1.jpg": "HAM_1", "2.jpg": "HAM_2", "3.jpg": "HAM_2"},
    ),
    "PAD-UFES-20": (
        "patient_id,lesion_id,smoke,age,diagnostic,img_id,biopsed\n"
        "PAT_1,5,True,55,BCC,1.jpg,True\nPAT_2,6,,70,NEV,2.jpg,False\nPAT_2,7,,70,SEK,3.jpg,False\n",
        {"1.jpg": "5", "2.jpg": "6", "3.jpg": "7"},
    ),
    "ISIC 2020 challenge": (
        "image_name,patient_id,lesion_id,sex,age_approx,diagnosis,benign_malignant,target\n"
        "1,IP_1,L1,male,45,melanoma,malignant,1\n2,IP_2,L2,male,45,unknown,benign,0\n"
        "3,IP_2,L3,male,45,nevus,benign,0\n",
        {"1.jpg": "L1", "2.jpg": "L2", "3.jpg": "L3"},
    ),
    "ISIC 2024 challenge": (
        "isic_id,target,patient_id,age_approx,lesion_id\n1,1,IP_1,60,L1\n2,0,IP_2,60,\n3,0.0,IP_2,60,\n",
        {"1.jpg": "L1", "2.jpg": "", "3.jpg": ""},
    ),
    "BCN20000": (
        "bcn_filename,age_approx,diagnosis,lesion_id,sex\n"
        "1.jpg,55,BCC,B1,male\n2.jpg,55,NV,B2,male\n3.jpg,55,SK,B2,male\n",
        {"1.jpg": "B1", "2.jpg": "B2", "3.jpg": "B2"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_published_layouts_are_recognised_and_named(read, give, layout) -> None:
    table, lesions = LAYOUTS[layout]
    stored = read(give(table))
    assert classes(stored) == {"1.jpg": 1, "2.jpg": 0, "3.jpg": 0}
    assert known(stored, "lesion") == lesions
    assert summarise(stored).table.layouts == {"metadata.csv": layout}


def test_every_published_layout_has_a_test() -> None:
    challenge = {"ISIC challenge, diagnoses", "ISIC challenge, metadata"}
    assert {published.name for published in PUBLISHED} == {*LAYOUTS} | challenge


CHALLENGE = {
    "Input/ISIC_1_downsampled.jpg": 0, "Input/ISIC_2.jpg": 1, "Input/ISIC_3.jpg": 2, "Input/ISIC_4.jpg": 3,
}  # fmt: skip


def test_the_challenges_two_tables_become_one(read, make_zip, jpeg) -> None:
    hot = ["ISIC_1_downsampled,1.0,0,0,0,0", "ISIC_2,0,1,0,0,0", "ISIC_3,0,0,1,0,0", "ISIC_4,0,0,0,1,0"]
    truth = "\n".join(["image,MEL,NV,BCC,AK,UNK", *hot])
    said = ["ISIC_1,85+,back,,Male", "ISIC_2,40,Back,L1,male", "ISIC_3,,,L1,male"]
    about = "\n".join(["image,age_approx,anatom_site_general,lesion_id,sex", *said])
    photographs = {name: jpeg(seed) for name, seed in CHALLENGE.items()}
    stored = read(make_zip(photographs | {"truth.csv": truth.encode(), "about.csv": about.encode()}))
    assert classes(stored) == {"ISIC_1_downsampled.jpg": 1, "ISIC_2.jpg": 0, "ISIC_3.jpg": 1}
    assert known(stored, "diagnosis") == {"ISIC_1_downsampled.jpg": "MEL", "ISIC_2.jpg": "NV", "ISIC_3.jpg": "BCC"}
    assert known(stored, "age_approx") == {"ISIC_1_downsampled.jpg": "85+", "ISIC_2.jpg": "40", "ISIC_3.jpg": ""}
    assert set(known(stored, "sex").values()) == {"male"}, "the commonest spelling"
    assert summarise(stored).table.labels["neither"] == {"AK": 1}
    assert count_left_out(stored.left_out)["no_label"] == 1
    assert stored.known.sentences[-1] == (
        "1 lesion has several labels: L1 (truth.csv line 3, truth.csv line 4); all photographs of a lesion stay "
        "together."
    )


def test_ham10000s_two_image_folders_and_their_copies_count_once(read, make_zip, jpeg) -> None:
    table = "lesion_id,image_id,dx\nA,ISIC_1,mel\nB,ISIC_2,nv\n"
    names = [
        f"{folder}/ISIC_{i + 1}.jpg" for i, folder in enumerate(("HAM10000_images_part_1", "HAM10000_images_part_2"))
    ]
    photographs = {name: jpeg(i) for i, name in enumerate(names)} | {
        name.lower(): jpeg(i) for i, name in enumerate(names)
    }
    stored = read(make_zip(photographs | {"HAM10000_metadata.csv": table.encode()}))
    assert stored.manifest.path.tolist() == ["benign/ISIC_2.jpg", "malignant/ISIC_1.jpg"]
    assert count_left_out(stored.left_out)["copies"] == 2


def test_names_that_only_folders_tell_apart(read, make_zip, jpeg) -> None:
    photographs = {"a/1.jpg": jpeg(0), "b/1.jpg": jpeg(1)}
    stored = read(make_zip(photographs | {"t.csv": b"file,label\na/1.jpg,malignant\nb/1.jpg,benign\n"}))
    assert stored.manifest.path.tolist() == ["benign/2/1.jpg", "malignant/1/1.jpg"]


@pytest.mark.parametrize(
    "table",
    [
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        "sep=;\r\n" + PLAIN.replace(",", ";").replace("\n", "\r\n"),
        "\ufeff" + PLAIN,
        "\n\n" + PLAIN + "\n ,,,,\n",
        PLAIN.replace("melanoma", "  MELANOMA "),
        PLAIN.replace("image", "IMAGE").replace("diagnosis", "Diagnosis"),
        '"image","diagnosis","patient","age"\n1,"melanoma","a","a ""quoted""\nword"\n2,nevus,a,\n3,nevus,b,\n',
        ",image,diagnosis,patient\n0,1.jpg,melanoma,a\n1,2.jpg,nevus,a\n2,3.jpg,nevus,b\n",
    ],
    ids=[
        "semicolons",
        "tabs",
        "Excel",
        "BOM",
        "blank lines",
        "case and spaces",
        "header's case",
        "quotes",
        "row numbers",
    ],
)
def test_tables_as_programs_and_people_write_them(read, give, table) -> None:
    stored = read(give(table))
    assert classes(stored) == {"1.jpg": 1, "2.jpg": 0, "3.jpg": 0}
    assert known(stored, "patient") == {"1.jpg": "1", "2.jpg": "1", "3.jpg": "2"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_accents_survive_the_encodings_of_spreadsheets(read, give, encoding) -> None:
    stored = read(give(PLAIN.replace("male", "weiß").encode(encoding)))
    assert known(stored, "sex")["1.jpg"] == "weiß"


FAULTS = {
    "another data set": (
        "image,label\nx1,benign\nx2,malignant\n", 2,
        "metadata.csv line 2 names the image x1, and neither it nor any other image of the table is in {zip}, which "
        "holds "
        "1.jpg; give the table of these images.",
    ),
    "two rows": (
        "image,label\n1.jpg,benign\n2.jpg,malignant\n1.JPG,benign\n", 2,
        "metadata.csv line 4 names the image 1.JPG again, after metadata.csv line 2; keep one of them.",
    ),
    "too few fields": (
        "image,label,age\n1.jpg,benign,5\n2.jpg,malignant\n", 2,
        "metadata.csv line 3 has 2 fields, where the header has 3; complete it, and quote fields that hold the "
        "separator.",
    ),
    "too many fields": (
        "image,label\n1.jpg,benign\n2.jpg,malignant,NOS\n", 2,
        "metadata.csv line 3 has 3 fields, where the header has 2; complete it, and quote fields that hold the "
        "separator.",
    ),
    "an open quote": (
        'image,label\n1.jpg,benign\n2.jpg,"malignant\n', 2,
        "metadata.csv line 3 has a quotation mark that is not closed or not doubled; correct it.",
    ),
    "no rows": ("image,label\n", 2, "metadata.csv has a header and no rows; give a table with a row for each image."),
    "nothing": (
        "", 2,
        "{zip} comes with no table that has a known column of images (metadata.csv has no header); "
        "set data.table.columns.image in params.yaml, or with `dvc exp run -S data.table.columns.image=NAME`, to its "
        "column.",
    ),
    "binary": (b"PK\x03\x04\0\0", 2, "metadata.csv is not text; save it as CSV in UTF-8."),
    "a column twice": (
        "image,label,Label\n1,benign,\n2,malignant,\n", 2, "metadata.csv has two columns label; rename one of them.",
    ),
    "no image column": (
        "foto,label\n1,benign\n2,malignant\n", 2,
        "{zip} comes with no table that has a known column of images (metadata.csv has foto, label); "
        "set data.table.columns.image in params.yaml, or with `dvc exp run -S data.table.columns.image=NAME`, to its "
        "column.",
    ),
    "no label column": (
        "image,kind\n1,benign\n2,malignant\n", 2,
        "{zip} comes with no table that has a known column of labels (metadata.csv has image, kind); "
        "set data.table.columns.label in params.yaml, or with `dvc exp run -S data.table.columns.label=NAME`, to its "
        "column.",
    ),
    "rows without an image": (
        "image,label\n1,benign\n2,malignant\n3,benign\n4,benign\n", 2,
        "{zip} does not fit its table: 2 of 4 rows name an image that is not there (such as 3 in metadata.csv line 4); "
        "complete it, or raise data.table.max_unmatched.",
    ),
    "images without a row": (
        "image,label\n1,benign\n2,malignant\n", 3,
        "{zip} does not fit its table: 1 of 3 photographs have no row (such as 3.jpg); complete it, or raise "
        "data.table.max_unmatched.",
    ),
    "lost zeros": (
        "image,label\n1,benign\n2,malignant\n", ["0001.jpg", "0002.jpg"],
        "metadata.csv line 2 names the image 1, but the file is 0001: it lost leading zeros; give the column as it was "
        "before a spreadsheet opened it, or import it as text.",
    ),
    "a date for a name": (
        "image,label\n1.jpg,benign\n02-Mar,malignant\n", ["1.jpg", "MAR2.jpg"],
        "metadata.csv line 3 names the image 02-Mar, which a spreadsheet took for a date; give the column as it was "
        "before "
        "a spreadsheet opened it, or import it as text.",
    ),
    "a date for a lesion": (
        "image,label,lesion\n1.jpg,benign,x\n2.jpg,malignant,Mar-02\n", 2,
        "metadata.csv line 3 names the lesion Mar-02, which a spreadsheet took for a date; give the column as it was "
        "before "
        "a spreadsheet opened it, or import it as text.",
    ),
    "a number cut short": (
        "image,label,patient\n1.jpg,benign,4711\n2.jpg,malignant,1.23457E+11\n", 2,
        "metadata.csv line 3 names the patient 1.23457E+11, a number that a spreadsheet cut short; give the column "
        "as it "
        "was before a spreadsheet opened it, or import it as text.",
    ),
    "an unknown split": (
        "image,label,split\n1.jpg,benign,train\n2.jpg,malignant,holdout\n", 2,
        "metadata.csv line 3 has the split holdout; use train, val, test, or set data.table.columns.split to none.",
    ),
    "two ones": (
        "image,MEL,NV,BCC\n1,1,0,0\n2,1,1,0\n", 2, "metadata.csv line 3 has not one 1 among MEL, NV, BCC; correct it.",
    ),
    "one class": (
        "image,label\n1,nevus\n2,blue stain\n", 2,
        "{zip} has no images in malignant, but 1 photograph labelled neither malignant nor benign (2.jpg); list the "
        "values "
        "of both classes in data.table.malignant and data.table.benign; the labels are nevus 1, blue stain 1.",
    ),
    "no class": (
        "image,label\n1,M\n2,\n", 2,
        "{zip} has no images in benign, malignant, but 2 photographs labelled neither malignant nor benign (1.jpg, "
        "2.jpg); "
        "list the values of both classes in data.table.malignant and data.table.benign; the labels are M 1, blank 1.",
    ),
    "two photographs of one name": (
        "image,label\n1,benign\n2,malignant\n", ["a/1.jpg", "b/1.jpg", "a/2.jpg"],
        "{zip} holds a/1.jpg and b/1.jpg, two photographs of one name; name their folders in the table, or rename one.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_sentence_with_file_line_and_value(read, give, fault) -> None:
    table, names, sentence = FAULTS[fault]
    archive = give(table, names)
    with pytest.raises(ArchiveError) as error:
        read(archive)
    assert str(error.value) == sentence.format(zip=archive)


def test_tables_that_say_different_things_of_an_image_are_refused(read, make_zip, jpeg) -> None:
    entries = {"1.jpg": jpeg(1), "2.jpg": jpeg(2), "a.csv": b"image,label,age\n1,benign,50\n2,malignant,60\n"}
    with pytest.raises(ArchiveError) as error:
        read(make_zip(entries | {"b.csv": b"image,age,sex\n1,50,male\n2,61,male\n"}))
    assert str(error.value) == "b.csv line 3 has age 61 for 2, where a.csv line 3 has 60; correct one of them."
    assert known(read(make_zip(entries | {"b.csv": b"image,age,sex\n1,50,male\n2,,male\n"})), "age") == {
        "1.jpg": "50",
        "2.jpg": "60",
    }


def test_what_does_not_fit_is_counted_below_the_share(read, give) -> None:
    stored = read(give("image,label\n1,benign\n2,malignant\n4,benign\n"), max_unmatched=0.5)
    assert summarise(stored).table.rows_without_image == 1
    assert count_left_out(stored.left_out)["no_row"] == 1
    assert stored.known.sentences[-1].startswith("1 of 3 rows name an image that is not in ")


def test_contradictions_within_a_lesion_are_said_without_names_of_patients(read, give) -> None:
    table = "image,label,lesion,patient\n1,benign,L,Ada\n2,malignant,L,Bo\n3,benign,M,\n"
    stored = read(give(table))
    assert stored.known.sentences[-2:] == [
        "1 lesion has several labels: L (metadata.csv line 2, metadata.csv line 3); all photographs of a lesion stay "
        "together.",
        "1 lesion has several patients: L (metadata.csv line 2, metadata.csv line 3); all photographs of a lesion stay "
        "together.",
    ]
    assert known(stored, "lesion") == {"1.jpg": "L", "2.jpg": "L", "3.jpg": "M"}


def test_lesions_whose_numbers_begin_again_in_each_patient_are_named_by_both(read, give) -> None:
    rows = [
        f"{3 * n + m},{'nevus' if n % 2 else 'melanoma'},{m},{'xyz'[m % 2]}{n}" for n in range(3) for m in (1, 2, 3)
    ]
    stored = read(give("\n".join(["image,diagnosis,lesion,patient", *rows]), 9))
    assert len(set(known(stored, "lesion").values())) == 9
    assert "so a lesion is named by both." in stored.known.sentences[-1]
    assert "y1" not in stored.metadata.frame.to_csv()


@pytest.mark.parametrize(
    ("patients", "distinct"),
    [(["12", "12.0", "13"], 2), (["P1", "p1 ", "P2"], 2), (["a", "", ""], 1), (["a", "Not recorded", "---"], 1)],
)
def test_names_of_patients_that_differ_in_writing_alone_are_one(read, give, patients, distinct) -> None:
    rows = [f"{number},{'nevus' if number > 1 else 'melanoma'},{name}" for number, name in enumerate(patients, 1)]
    stored = read(give("\n".join(["image,diagnosis,Patient ID", *rows])))
    assert len(set(known(stored, "patient").values()) - {""}) == distinct
    assert "Patient ID" not in stored.metadata.columns
    said = "2 of 3 photographs have no patient; each lesion there counts as one of a patient of its own."
    assert (said in stored.known.sentences) == (patients[0] == "a")


@pytest.mark.parametrize("name", ["patientname", "Patientenname", "Nom du patient", "pat_id", "patient_code", "MRN"])
def test_names_of_patients_in_other_columns_are_left_out(read, give, name) -> None:
    stored = read(give(f"image,diagnosis,patient,{name},age\n1,nevus,a,Eva,5\n2,melanoma,b,Bo,6\n", 2))
    assert stored.metadata.columns == ["diagnosis", "age"]
    assert "Eva" not in "".join(stored.known.sentences) + stored.metadata.frame.to_csv()


def test_a_column_that_seems_to_name_patients_is_pointed_to(read, give) -> None:
    stored = read(
        give("image,diagnosis,Patientennummer,Versichertennr,Initialen\n1,nevus,A,1,x\n2,melanoma,A,1,x\n", 2)
    )
    assert any("; data.table.columns.patient=Patientennummer keeps" in sentence for sentence in stored.known.sentences)
    assert stored.metadata.columns == ["diagnosis"]


def test_columns_of_yes_and_no_are_kept_and_the_class_in_other_words_is_not(read, give) -> None:
    stored = read(give("image,target,biopsied,ulcer\n1,1,yes,0\n2,0,no,1\n", 2))
    assert stored.metadata.columns == ["biopsied", "ulcer"]


def test_a_spreadsheets_lock_is_no_table(read, make_zip, jpeg) -> None:
    entries = {"1.jpg": jpeg(0), "2.jpg": jpeg(1), "t.csv": b"image,label\n1,malignant\n2,benign\n", "~$t.csv": b"\0\0"}
    assert len(read(make_zip(entries)).manifest) == 2


def test_without_patients_it_is_said(read, give) -> None:
    said = "No column names patients, so photographs of one person may be in several splits."
    assert said in read(give("image,diagnosis\n1,nevus\n2,melanoma\n", 2)).known.sentences
    assert said not in read(give(PLAIN)).known.sentences


def test_a_row_that_names_another_folder_takes_no_photograph_of_this_one(read, make_zip, jpeg) -> None:
    photographs = {f"P{number}/{number}.jpg": jpeg(number) for number in (1, 2, 3)}
    table = "file,label\nP9/1.jpg,malignant\n/home/me/P2/2.jpg,malignant\nP3\\3.JPG,benign\n"
    stored = read(make_zip(photographs | {"t.csv": table.encode()}), max_unmatched=0.5)
    assert classes(stored) == {"2.jpg": 1, "3.jpg": 0}
    assert summarise(stored).table.rows_without_image == 1


def test_who_names_a_folder_comes_before_who_names_none(read, make_zip, jpeg) -> None:
    photographs = {"1.jpg": jpeg(1), "x/1.jpg": jpeg(2), "1.jpeg": jpeg(3)}
    table = "file,label\n1.jpg,malignant\nx/1.jpg,benign\n1.jpeg,benign\n"
    stored = read(make_zip(photographs | {"t.csv": table.encode()}))
    digests = {hashlib.sha256(content).hexdigest(): name for name, content in photographs.items()}
    assert {digests[one]: label for one, label in zip(stored.manifest.sha256, stored.manifest.label, strict=True)} == {
        "1.jpg": 1, "x/1.jpg": 0, "1.jpeg": 0,
    }  # fmt: skip


def test_tables_meet_where_only_one_of_them_has_names_that_folders_tell_apart(read, make_zip, jpeg) -> None:
    entries = {"a/1.jpg": jpeg(0), "b/1.jpg": jpeg(1), "l.csv": b"file,label\na/1.jpg,malignant\nb/1.jpg,benign\n"}
    stored = read(make_zip(entries | {"m.csv": b"file,patient,lesion\na/1.jpg,P,L\n"}))
    assert sorted(stored.metadata["lesion"]) == ["", "L"]
    assert sorted(stored.metadata["patient"]) == ["", "1"]


def test_a_column_that_only_one_table_has_leaves_the_others_as_they_are_recognised(read, make_zip, jpeg) -> None:
    entries = {"1.jpg": jpeg(0), "2.jpg": jpeg(1), "a.csv": b"foto,label\n1,malignant\n2,benign\n"}
    entries |= {"b.csv": b"image_id,patient_id\n1,x\n2,y\n", "notes.csv": b"a,b\nragged\n", "big.csv": b"p1,p2\n" * 9}
    stored = read(make_zip(entries), columns={"image": "foto"})
    assert sorted(stored.metadata["patient"]) == ["1", "2"]
    assert "Not used, as it names no image: notes.csv has a, b." in stored.known.sentences


def test_a_table_that_lies_in_the_archive_is_read_once(read, make_folder, jpeg) -> None:
    folder = make_folder({"1.jpg": jpeg(0), "2.jpg": jpeg(1), "t.csv": b"image,label\n1,malignant\n2,benign\n"})
    assert len(read(folder, files=str(folder / "t.csv")).manifest) == 2


def test_columns_with_names_of_ours_keep_apart(read, give) -> None:
    table = "image,label,site,site_,Path\n1,malignant,x,y,p\n2,benign,x,z,q\n"
    assert read(give(table, 2)).metadata.columns == ["site__", "site_", "Path_"]


def test_codes_of_several_diagnoses_are_not_taken_for_benign_and_malignant(read, give) -> None:
    table = "image,label\n1,0\n2,1\n3,4\n"
    with pytest.raises(ArchiveError, match=r"line 4 has the label 4, so 0 and 1 may be codes of diagnoses too; list"):
        read(give(table))
    assert classes(read(give(table), malignant=["0", "1"], benign=["4"])) == {"1.jpg": 1, "2.jpg": 1, "3.jpg": 0}


@pytest.mark.parametrize("name", ["MAYO-0012", "DEC-001", "4e929310", "mar-02", "1e+5"])
def test_ordinary_names_are_not_taken_for_a_spreadsheets(read, give, name) -> None:
    assert known(read(give(f"image,diagnosis,lesion\n1,nevus,{name}\n2,melanoma,x\n", 2)), "lesion")["1.jpg"] == name


def test_photographs_that_are_not_dermoscopy_are_counted(read, give) -> None:
    kinds = ["dermoscopic", "clinical: close-up", "Clinical: Close-Up", ""]
    rows = [f"{number},{'malignant' if number % 2 else 'benign'},{kind}" for number, kind in enumerate(kinds, 1)]
    said = read(give("\n".join(["image,label,image_type", *rows]), 4)).known.sentences[-1]
    assert said == (
        "Not dermoscopy, by the column image_type: clinical: close-up 2; this network is meant for dermoscopy."
    )


def test_a_tables_split_is_the_source_split(read, give) -> None:
    rows = [
        f"{n},{'malignant' if n % 2 else 'benign'},{split}"
        for n, split in enumerate(["Train"] * 2 + ["validation"] * 2 + ["test"] * 2 + [""], 1)
    ]
    stored = read(give("image,label,split\n" + "\n".join(rows) + "\n", 7))
    assert sorted(stored.manifest.source_split) == ["test", "test", "train", "train", "val", "val"]
    assert count_left_out(stored.left_out)["no_split"] == 1
    assert len(read(give("image,label,split\n" + "\n".join(rows) + "\n", 7), columns={"split": "none"}).manifest) == 7


def test_columns_and_values_of_any_table(read, give) -> None:
    table = "foto,befund,klinik,fall\n1,Melanom,Nord,k1\n2,Muttermal,Süd,k2\n3,Warze,Süd,k3\n"
    stored = read(
        give(table), columns={"image": "FOTO", "label": "befund", "site": "klinik", "patient": "fall"},
        malignant=["melanom"], benign=["muttermal"],
    )  # fmt: skip
    assert classes(stored) == {"1.jpg": 1, "2.jpg": 0}
    assert known(stored, "site") == {"1.jpg": "Nord", "2.jpg": "Süd"}
    assert summarise(stored).table.labels["neither"] == {"Warze": 1}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"columns": {"image": "imagee"}},
            r"data\.table\.columns\.image is imagee, which is no column; .*; did you mean image\.",
        ),
        (
            {"malignant": ["melanoma"]},
            r"data\.table\.malignant lists values and data\.table\.benign none; list those of both",
        ),
        ({"malignant": ["a"], "benign": ["A "]}, r"both list a; take it out of one"),
        ({"keep": ["nothing"]}, r"data\.table\.keep names nothing, but the tables have diagnosis, age, sex\."),
    ],
)
def test_parameters_that_do_not_fit_are_named(read, give, changes, sentence) -> None:
    with pytest.raises((ArchiveError, ParamsError), match=sentence):
        read(give(PLAIN), **changes)


def test_what_tells_who_somebody_is_stays_out_unless_asked(read, give) -> None:
    header = "image,label,First Name,dob,seen,mail,age"
    rows = ["1,benign,Ada,1.2.1960,2020-01-02,a@b.org,60", "2,malignant,Bo,2.3.1950,2020-01-03,b@b.org,70"]
    table = "\n".join([header, *rows])
    stored = read(give(table, 2))
    assert stored.metadata.columns == ["age"]
    assert summarise(stored).table.personal == ["First Name", "dob", "seen", "mail"]
    assert "1960" not in stored.metadata.frame.to_csv()
    assert any("seen, which may tell who somebody is (dates)" in sentence for sentence in stored.known.sentences)
    assert read(give(table, 2), keep=["DOB"]).metadata.columns == ["dob", "age"]


@pytest.mark.parametrize(
    "column",
    [
        "anatom_site_general", "age_approx", "image_type", "diagnosis_confirm_type", "hospital_name", "file_name",
        "site", "mel_thick_mm", "fitzpatrick_skin_type", "acquisition_day", "copyright_license", "pixels_x", "zipped",
    ],
)  # fmt: skip
def test_columns_of_the_published_tables_are_not_taken_for_personal(column) -> None:
    assert personal(column, pd.Series(["a", "5", ""])) is None


def test_no_diagnosis_is_in_two_lists() -> None:
    lists = [{key(value) for value in values} for values in (MALIGNANT, BENIGN, NEITHER)]
    assert not lists[0] & lists[1]
    assert not (lists[0] | lists[1]) & lists[2]
    assert sum(map(len, lists)) == len(MALIGNANT) + len(BENIGN) + len(NEITHER)


TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"))


@given(
    rows=st.lists(st.lists(TEXT, min_size=3, max_size=3), min_size=1, max_size=5),
    separator=st.sampled_from(",;\t|"),
)
def test_any_text_comes_back_from_any_spreadsheet(rows, separator) -> None:
    table = pd.DataFrame(rows, columns=["one", "two", "three"], dtype=object)
    text = table.to_csv(index=False, sep=separator, quoting=1, lineterminator="\r\n")
    expected = table.map(str.strip)
    empty = ~expected.ne("").any(axis=1)
    if empty.all():
        return
    found = read_rows("t.csv", text.encode("utf-8-sig")).frame.to_numpy().ravel().tolist()
    for ours, theirs in zip(found, expected[~empty].to_numpy().ravel().tolist(), strict=True):
        assert ours == theirs or (not ours and theirs.casefold() in BLANK)


def test_metadata_of_photographs_without_a_table_is_blank(tmp_path) -> None:
    Metadata.of(["b", "a"]).write(tmp_path / "m.csv")
    assert (tmp_path / "m.csv").read_text() == "path,lesion,patient\nb,,\na,,\n"
    assert Metadata.read(tmp_path / "m.csv").at(["a"])["lesion"].tolist() == [""]
    (tmp_path / "bad.csv").write_text("path,lesion\na,\n")
    with pytest.raises(BadTableError, match="lacks the column 'patient'"):
        Metadata.read(tmp_path / "bad.csv")


def test_numbers_with_zeros_in_front_stay_text(tmp_path) -> None:
    (tmp_path / "m.csv").write_text("path,lesion,patient,age\na,007,,5\n")
    assert Metadata.read(tmp_path / "m.csv").frame.iloc[0].tolist() == ["a", "007", "", "5"]


def test_a_site_and_kaggles_archives_may_have_tables_too(give, tmp_path) -> None:
    stored = unpack(give(PLAIN.replace("3.jpg", "4.jpg")), tmp_path / "out", 1.0)
    assert classes(stored) == {"1.jpg": 1, "2.jpg": 0}
    assert known(stored, "patient") == {"1.jpg": "1", "2.jpg": "1"}


@pytest.mark.parametrize(
    ("name", "benign", "malignant", "lesions", "without"),
    [("isic-archive-part", 253, 262, 430, 0), ("isic-2019-challenge-part", 682, 518, 938, 93)],
)
def test_the_real_parts_keep_all_that_their_tables_say(read, name, benign, malignant, lesions, without) -> None:
    archive = SHARED / f"{name}.zip"
    if not archive.exists():
        pytest.skip("needs the real data sets in ../shared/data")
    stored = read(archive)
    assert (stored.manifest.label == 0).sum(), (stored.manifest.label == 1).sum() == (benign, malignant)
    named = stored.metadata["lesion"]
    assert (len(set(named) - {""}), int((named == "").sum())) == (lesions, without)
    with zipfile.ZipFile(archive) as opened:
        tables = [
            pd.read_csv(opened.open(file), dtype=str, keep_default_na=False)
            for file in opened.namelist()
            if file.endswith(".csv")
        ]
    source = tables[-1].set_index(tables[-1].columns[0])
    ours = stored.metadata.frame.set_index(stored.metadata.frame["path"].str.extract(r"([^/]+)\.jpg$")[0])
    for column in {*source.columns} & {*ours.columns}:
        assert ours[column].str.casefold().to_dict() == source[column].str.casefold().to_dict(), column


def test_the_columns_of_the_parameters_are_the_roles() -> None:
    assert {*TableColumns.model_fields} == {"image", "label", "lesion", "patient", "site", "split"}


@pytest.mark.parametrize("failed", ["#N/A", "#NV", "#n/d", "#REF!", "#WERT!", "#NAME?"])
def test_what_a_failed_formula_leaves_is_blank(failed) -> None:
    rows = read_rows("t.csv", f"image,lesion\n1,{failed}\n2,#12\n3,#A\n".encode())
    assert rows.frame["lesion"].tolist() == ["", "#12", "#A"]


def test_a_separator_within_quotation_marks_separates_nothing() -> None:
    rows = read_rows("t.csv", b'image;"age, years";"site, body, side"\n1;2;3\n')
    assert rows.columns == ["image", "age, years", "site, body, side"]


def test_letters_that_macos_takes_apart_are_those_that_others_write(read, give) -> None:
    taken_apart = [unicodedata.normalize("NFD", name) for name in ("Läsion1.jpg", "Läsion2.jpg")]
    table = (
        "image,label,lesion\nLäsion1.jpg,benign,Ä\nLäsion2.jpg,malignant," + unicodedata.normalize("NFD", "Ä") + "\n"
    )
    stored = read(give(table, taken_apart))
    assert set(known(stored, "lesion").values()) == {"Ä"}


def test_lesions_that_patients_number_are_one_whatever_their_case(read, give) -> None:
    numbered = "".join(f"{3 * patient + of}.jpg,nevus,{patient},{of}\n" for patient in range(5) for of in range(3))
    others = "15.jpg,nevus,,L9\n16.jpg,melanoma,,l9\n17.jpg,nevus,0,M\n18.jpg,nevus,0,m\n"
    table = f"image,diagnosis,patient,lesion\n{numbered}{others}"
    stored = read(give(table, [f"{number}.jpg" for number in range(19)]))
    of = known(stored, "lesion")
    assert of["15.jpg"] == of["16.jpg"] == "L9"
    assert of["17.jpg"] == of["18.jpg"] == "1/M"
    assert len(set(of.values())) == 15 + 2
    assert any(said.startswith("1 lesion has several labels: L9 (") for said in stored.known.sentences)


def test_a_copy_of_the_table_beside_the_archive_is_not_a_second_table(read, give, tmp_path) -> None:
    beside = tmp_path / "tables"
    beside.mkdir()
    archive = give(PLAIN)
    (beside / "copy.csv").write_text(PLAIN.replace("71", "72"))
    again = f"^{beside}/copy.csv line 2 names the image 1.jpg again, after metadata.csv line 2"
    with pytest.raises(TableError, match=again):
        read(archive, files=str(beside))
    (beside / "copy.csv").write_text(PLAIN)
    assert read(archive, files=str(beside)).manifest.to_frame().equals(read(archive).manifest.to_frame())


@pytest.mark.parametrize("rows", [("1.jpg", "a/1.jpg"), ("a/1.jpg", "1.jpg")])
def test_the_order_of_rows_does_not_decide_whether_folders_tell_them_apart(read, give, rows) -> None:
    table = f"image,label\n{rows[0]},benign\n{rows[1]},malignant\n"
    assert sorted(read(give(table, ["1.jpg", "a/1.jpg"])).manifest.label.tolist()) == [0, 1]
