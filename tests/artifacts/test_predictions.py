"""Predictions of any model, and those of earlier versions."""

from io import StringIO

import pytest

from dermascreen.artifacts.results.predictions import ImagePredictions, Predictions

COLUMNS = "path,split,label,lesion,probability"
ROWS = "a,test,0,0,0.1\nb,test,1,1,0.9\nc,val,1,2,0.8\n"


def test_a_part_is_a_split_and_a_sample_what_numbers_are_made_from() -> None:
    test = ImagePredictions.parse(StringIO(f"{COLUMNS}\n{ROWS}"), ["test"]).part("test")
    assert test.path.tolist() == ["a", "b"]
    label, probability, clusters = test.sample
    assert (label.tolist(), probability.tolist(), clusters.lesion.tolist()) == ([0, 1], [0.1, 0.9], [0, 1])
    assert clusters.patient is clusters.lesion  # an older table
    known = ImagePredictions.of(test.to_frame().assign(patient=[7, 7])).clusters
    assert (known.lesion.tolist(), known.patient.tolist()) == ([0, 1], [7, 7])


def test_a_table_whose_probability_is_not_calibrated_is_refused() -> None:
    old = "\n".join(f"{line},{added}" for line, added in zip(
        f"{COLUMNS}\n{ROWS}".splitlines(), ["calibrated_probability", 0.2, 0.7, 0.6], strict=True
    ))  # fmt: skip
    for kind in (ImagePredictions, Predictions):
        with pytest.raises(ValueError, match="is of an earlier version of dermascreen, whose column 'probability' is"):
            kind.parse(StringIO(old))


def test_what_a_stage_hands_on_needs_every_column() -> None:
    with pytest.raises(ValueError, match="lacks the column 'logit'"):
        Predictions.parse(StringIO(f"{COLUMNS}\n{ROWS}"))


def test_a_lesion_of_two_patients_is_refused() -> None:
    rows = "1.jpg,test,1,4,0.9,{}\n2.jpg,test,0,5,0.1,8\n3.jpg,test,1,4,0.8,{}\n"
    text = f"{COLUMNS},patient\n{rows}"
    assert ImagePredictions.parse(StringIO(text.format(7, 7))).patient.tolist() == [7, 8, 7]
    with pytest.raises(ValueError, match=r"^holds photographs of lesion 4 that are of several patients$"):
        ImagePredictions.parse(StringIO(text.format(7, 8)))
