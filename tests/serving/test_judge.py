import errno
import os
import threading

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit
from serving_samples import encoded, pixels

from dermascreen.explanation.gradcam import MapKind, explain
from dermascreen.model.inference import predict_logits
from dermascreen.serving.bundle import BAND, Bundle
from dermascreen.serving.judge import NEAREST, Failure, Judge, Judgement, Photograph


def photograph(content: bytes, name: str = "a.png") -> Photograph:
    return Photograph(name, lambda: content)


def judge_one(bundle, content: bytes, **options) -> Judgement | Failure:
    [judged] = Judge(bundle, **options)([photograph(content)])
    return judged


def test_probabilities_are_those_of_the_pipeline(bundle) -> None:
    shown = pixels(7, 3)
    judged = list(Judge(bundle, batch_size=3)(photograph(encoded(image), f"{n}") for n, image in enumerate(shown)))
    logit = predict_logits(bundle.network, shown, np.arange(7))
    assert [one.name for one in judged] == [*"0123456"]
    assert [one.logit for one in judged] == logit.tolist()  # to the last bit
    assert [one.probability for one in judged] == pytest.approx(expit(logit / 2.0), rel=1e-4)
    assert all(one.low <= one.probability <= one.high for one in judged)
    high = bundle.points["high_recall"]["threshold"]
    assert [one.decision for one in judged] == ["malignant" if one.probability >= high else "benign" for one in judged]
    assert {one.point for one in judged} == {"high_recall"}
    assert all(one.decisions.keys() == bundle.points.keys() for one in judged)
    assert [len([near for near in one.nearest if near.label == label]) for one in judged[:1] for label in (0, 1)] == [
        NEAREST, NEAREST,
    ]  # fmt: skip


def test_a_photograph_at_the_threshold_itself_gets_one_decision_in_any_company(bundle) -> None:
    shown = pixels(9, 3)
    [alone] = Judge(bundle)([photograph(encoded(shown[4]))])
    own = Bundle(**{**vars(bundle), "points": {**bundle.points, "high_recall": {"threshold": alone.probability}}})
    for batch_size in (1, 2, 4, 32):
        for company in (range(4, 5), range(4, 6), range(3, 9), range(9)):
            given = (photograph(encoded(shown[number]), str(number)) for number in company)
            [found] = (one for one in Judge(own, batch_size=batch_size)(given) if one.name == "4")
            assert (found.probability, found.decision) == (alone.probability, "malignant")
            assert (found.logit, found.warnings, found.nearest) == (alone.logit, alone.warnings, alone.nearest)


@pytest.mark.parametrize(
    ("point", "said"),
    [
        ({"reached": False, "guaranteed": False}, "This operating point is of no use"),
        ({"reached": True, "guaranteed": False}, "is not guaranteed"),
        ({"reached": True, "guaranteed": True}, None),
    ],
)
def test_what_speaks_against_a_point_stands_beside_each_decision_at_it(bundle, point, said) -> None:
    high_recall = {**bundle.points["high_recall"], **point}
    band = {"low": 0.2, "high": 0.7, "target_specificity": 0.9, "guaranteed": True}
    changed = Bundle(**{**vars(bundle), "points": {**bundle.points, "high_recall": high_recall, BAND: band}})
    content = encoded(pixels(1, 3)[0])
    for name in ("high_recall", BAND):  # whose lower threshold is that of high_recall
        caveat = judge_one(changed, content, point=name).caveat
        assert caveat is None if said is None else said in caveat
    assert judge_one(changed, content, point="default").caveat is None


def test_tta_is_used_where_the_temperature_was_fitted_with_it(bundle) -> None:
    with_tta = Bundle(**{**vars(bundle), "tta": True})
    image = pixels(1, 3)
    assert judge_one(with_tta, encoded(image[0])).logit == pytest.approx(
        predict_logits(bundle.network, image, np.arange(1), tta=True).item(), rel=1e-6
    )


@pytest.mark.parametrize(("probability", "said"), [(0.19, "benign"), (0.2, "refer"), (0.7, "malignant")])
def test_a_band_refers_what_lies_between(bundle, probability, said) -> None:
    points = {**bundle.points, BAND: {"low": 0.2, "high": 0.7}}
    with_band = Bundle(**{**vars(bundle), "points": points})
    assert with_band.point == BAND
    assert with_band.decide(probability, BAND) == said


BROKEN = {
    b"": "is empty",
    b"no image": "is not a JPEG or PNG image",
    encoded(pixels(1, 0)[0])[:3000]: "is cut off: 77% of its rows are missing",
    encoded(Image.new("1", (20_000, 20_000))): "is 20000 x 20000 pixels, 400 megapixels, where at most 90 can be read",
    encoded(Image.new("RGB", (64, 64)), "GIF"): "is not a JPEG or PNG image",
}


def test_a_bad_photograph_among_good_ones_is_reported_and_the_rest_are_judged(bundle) -> None:
    good = encoded(pixels(1, 0)[0])
    contents = [part for bad in BROKEN for part in (good, bad)]
    judged = list(Judge(bundle, batch_size=4)(photograph(content, str(n)) for n, content in enumerate(contents)))
    assert [one.name for one in judged] == [str(number) for number in range(len(contents))]
    assert all(isinstance(one, Judgement) for one in judged[::2])
    assert [one.problem for one in judged[1::2]] == list(BROKEN.values())


def test_a_file_that_cannot_be_read_is_reported(bundle) -> None:
    def denied() -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "a.png")

    assert [*Judge(bundle)([Photograph("a.png", denied)])] == [Failure("a.png", "cannot be read (Permission denied)")]


def half_dark() -> Image.Image:
    image = pixels(1, 0)[0]
    image[:32] = 10
    return Image.fromarray(image)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (Image.fromarray(pixels(1, 0)[0]).resize((63, 64)), "It is 63 x 64 pixels, and the network was made for 64"),
        (Image.fromarray(pixels(1, 0)[0]).resize((200, 100)), "It is 200 x 100 pixels and was squeezed to a square"),
        (Image.new("RGBA", (64, 64), (9, 9, 9, 128)), "It has transparency, which was laid on white"),
        (half_dark(), "50% of it is dark, such as the frame of an instrument"),
    ],
)
def test_what_speaks_against_relying_on_a_judgement_is_said(bundle, image, said) -> None:
    assert said in " ".join(judge_one(bundle, encoded(image)).warnings)


def test_an_image_beyond_the_limit_is_unlike_the_training_images(bundle) -> None:
    content, said = encoded(pixels(1, 0)[0]), "It is unlike the photographs that the model was trained on"
    for limit, expected in ((-1.0, True), (2.1, False)):
        narrow = Bundle(**{**vars(bundle), "reference": type(bundle.reference)(
            bundle.reference.images, bundle.reference.features, limit
        )})  # fmt: skip
        assert any(warning.startswith(said) for warning in judge_one(narrow, content).warnings) == expected


def test_maps_explain_what_was_decided(bundle) -> None:
    shown = pixels(4, 5)
    judge = Judge(bundle, explained=True, batch_size=4)
    judged = list(judge(photograph(encoded(image)) for image in shown))
    signs = np.where([one.decision == "malignant" for one in judged], 1.0, -1.0)
    expected = explain(bundle.network, MapKind("backbone.layer3"), shown, np.arange(4), signs, batch_size=4)
    for one, (values, flat) in zip(judged, expected, strict=True):
        np.testing.assert_array_equal(one.map.values, values)
        assert one.map.flat == flat
        np.testing.assert_array_equal(one.pixels, shown[judged.index(one)])


def test_several_threads_get_the_answers_of_one(bundle) -> None:
    shown = [encoded(image) for image in pixels(6, 5)]
    judge = Judge(bundle, explained=True)
    alone = [next(judge([photograph(content)])) for content in shown]
    found: dict[int, Judgement | Failure] = {}

    def ask(number: int) -> None:
        found[number] = next(judge([photograph(shown[number])]))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, one in enumerate(alone):
        assert found[number].probability == one.probability
        np.testing.assert_array_equal(found[number].map.values, one.map.values)


def test_no_more_than_two_batches_are_read_ahead(bundle) -> None:
    content, read = encoded(pixels(1, 0)[0]), []

    def noted(number: int) -> bytes:
        read.append(number)
        return content

    judged = Judge(bundle, batch_size=4)(Photograph(str(n), lambda n=n: noted(n)) for n in range(40))
    next(judged)
    assert len(read) <= 8
    judged.close()
