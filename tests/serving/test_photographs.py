import copy
import errno
import os
import threading
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit
from serving_samples import encoded, pixels

from dermascreen.evidence.operating_points import BAND, Band
from dermascreen.explanation.gradcam import explain
from dermascreen.explanation.maps import MapKind
from dermascreen.prediction.forward import predict_logits
from dermascreen.serving.bundle import Bundle
from dermascreen.serving.photographs import NEAREST, Failure, Photograph, PhotographPredictor, Prediction


def with_predictor(bundle: Bundle, **changes) -> Bundle:
    changed = copy.copy(bundle.predictor)
    vars(changed).update(changes)
    return replace(bundle, predictor=changed)


def with_points(bundle: Bundle, **changes) -> Bundle:
    return with_predictor(bundle, points=replace(bundle.points, **changes))


def with_high_recall(bundle: Bundle, **changes) -> Bundle:
    return with_points(bundle, high_recall=replace(bundle.points.high_recall, **changes))


BETWEEN = Band(0.2, 0.7, "any", 0.9, 0.9, True, 24, 0, 24)


def photograph(content: bytes, name: str = "a.png") -> Photograph:
    return Photograph(name, lambda: content)


def predict_one(bundle, content: bytes, **options) -> Prediction | Failure:
    [predicted] = PhotographPredictor(bundle, **options)([photograph(content)])
    return predicted


def test_probabilities_are_those_of_the_pipeline(bundle) -> None:
    shown = pixels(7, 3)
    predicted = list(
        PhotographPredictor(bundle, batch_size=3)(photograph(encoded(image), f"{n}") for n, image in enumerate(shown))
    )
    logit = predict_logits(bundle.predictor.network, shown, np.arange(7))
    assert [one.name for one in predicted] == [*"0123456"]
    assert [one.logit for one in predicted] == logit.tolist()  # to the last bit
    assert [one.probability for one in predicted] == pytest.approx(expit(logit / 2.0), rel=1e-4)
    assert all(one.low <= one.probability <= one.high for one in predicted)
    high = bundle.points.high_recall.threshold
    assert [one.decision for one in predicted] == [
        "malignant" if one.probability >= high else "benign" for one in predicted
    ]
    assert {one.point for one in predicted} == {"high_recall"}
    assert all([*one.decisions] == [*bundle.points] for one in predicted)
    assert [near.label for near in predicted[0].nearest] == [0] * NEAREST + [1] * NEAREST


def test_a_photograph_at_the_threshold_itself_gets_one_decision_in_any_company(bundle) -> None:
    shown = pixels(9, 3)
    [alone] = PhotographPredictor(bundle)([photograph(encoded(shown[4]))])
    own = with_high_recall(bundle, threshold=alone.probability)
    for batch_size in (1, 2, 4, 32):
        for company in (range(4, 5), range(4, 6), range(3, 9), range(9)):
            given = (photograph(encoded(shown[number]), str(number)) for number in company)
            [found] = (one for one in PhotographPredictor(own, batch_size=batch_size)(given) if one.name == "4")
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
    changed = with_points(with_high_recall(bundle, **point), abstention=BETWEEN)
    content = encoded(pixels(1, 3)[0])
    for name in ("high_recall", BAND):  # whose lower threshold is that of high_recall
        caveat = predict_one(changed, content, point=name).caveat
        assert caveat is None if said is None else said in caveat
    assert predict_one(changed, content, point="default").caveat is None


def test_tta_is_used_where_the_temperature_was_fitted_with_it(bundle) -> None:
    with_tta = with_predictor(bundle, calibration=bundle.predictor.calibration.model_copy(update={"tta": True}))
    image = pixels(1, 3)
    assert predict_one(with_tta, encoded(image[0])).logit == pytest.approx(
        predict_logits(bundle.predictor.network, image, np.arange(1), tta=True).item(), rel=1e-6
    )


@pytest.mark.parametrize(("probability", "said"), [(0.19, "benign"), (0.2, "refer"), (0.7, "malignant")])
def test_a_band_refers_what_lies_between(bundle, probability, said) -> None:
    points = with_points(bundle, abstention=BETWEEN).points
    assert points.in_use == BAND
    assert points.decide([probability]) == [said]
    assert points.flags([probability]) == [said != "benign"]


BROKEN = {
    b"": "is empty",
    b"no image": "is not a JPEG or PNG image",
    encoded(pixels(1, 0)[0])[:3000]: "is cut off: 77% of its rows are missing",
    encoded(Image.new("1", (20_000, 20_000))): "is 20000 x 20000 pixels, 400 megapixels, where at most 90 can be read",
    encoded(Image.new("RGB", (64, 64)), "GIF"): "is not a JPEG or PNG image",
}


def test_a_bad_photograph_among_good_ones_is_reported_and_the_rest_are_predicted(bundle) -> None:
    good = encoded(pixels(1, 0)[0])
    contents = [part for bad in BROKEN for part in (good, bad)]
    predicted = list(
        PhotographPredictor(bundle, batch_size=4)(photograph(content, str(n)) for n, content in enumerate(contents))
    )
    assert [one.name for one in predicted] == [str(number) for number in range(len(contents))]
    assert all(isinstance(one, Prediction) for one in predicted[::2])
    assert [one.problem for one in predicted[1::2]] == list(BROKEN.values())


def test_a_file_that_cannot_be_read_is_reported(bundle) -> None:
    def denied() -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "a.png")

    assert [*PhotographPredictor(bundle)([Photograph("a.png", denied)])] == [
        Failure("a.png", "cannot be read (Permission denied)")
    ]


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
def test_what_speaks_against_relying_on_a_prediction_is_said(bundle, image, said) -> None:
    assert said in " ".join(predict_one(bundle, encoded(image)).warnings)


def with_preprocess(bundle: Bundle, **changes) -> Bundle:
    return with_predictor(bundle, description=bundle.predictor.description.model_copy(update=changes))


def surrounded(width: int, height: int, left: int, upper: int) -> Image.Image:
    """A bright field of that size in a black surround."""
    image = Image.new("RGB", (width + 2 * left, height + 2 * upper))
    image.paste(Image.new("RGB", (width, height), (190, 140, 120)), (left, upper))
    return image


def test_what_is_said_of_the_shape_is_of_the_field_of_view(bundle) -> None:
    cropping = with_preprocess(bundle, field_of_view="crop")
    wide, small = encoded(surrounded(680, 280, 60, 60)), encoded(surrounded(52, 52, 20, 20))
    said = predict_one(cropping, wide).warnings
    assert "Its black surround was cut off." in said
    assert any(one.endswith(" pixels and was squeezed to a square.") and "What is left is 6" in one for one in said)
    [named] = [one for one in predict_one(cropping, small).warnings if one.startswith("What is left is ")]
    assert named.endswith(" pixels, and the network was made for 64 a side.")
    middle = predict_one(with_preprocess(bundle, field_of_view="crop", fit="crop"), wide).warnings
    assert any(one.endswith(", and only its middle was looked at.") for one in middle)
    padded = predict_one(with_preprocess(bundle, fit="pad"), encoded(Image.new("RGB", (200, 100), (190, 140, 120))))
    assert not any("200 x 100" in one for one in padded.warnings)


def test_an_image_beyond_the_limit_is_unlike_the_training_images(bundle) -> None:
    content, said = encoded(pixels(1, 0)[0]), "It is unlike the photographs that the model was trained on"
    for limit, expected in ((-1.0, True), (2.1, False)):
        narrow = with_predictor(bundle, reference=replace(bundle.predictor.reference, limit=limit))
        assert any(warning.startswith(said) for warning in predict_one(narrow, content).warnings) == expected


def test_maps_explain_what_was_decided(with_maps) -> None:
    shown = pixels(4, 5)
    predictor = PhotographPredictor(with_maps, batch_size=4)
    predicted = list(predictor(photograph(encoded(image)) for image in shown))
    signs = np.where([one.decision == "malignant" for one in predicted], 1.0, -1.0)
    expected = explain(with_maps.network, MapKind("backbone.layer3"), shown, np.arange(4), signs, batch_size=4)
    for one, (values, flat) in zip(predicted, expected, strict=True):
        np.testing.assert_array_equal(one.map.values, values)
        assert one.map.flat == flat
        np.testing.assert_array_equal(one.pixels, shown[predicted.index(one)])


def test_several_threads_get_the_answers_of_one(with_maps) -> None:
    shown = [encoded(image) for image in pixels(6, 5)]
    predictor = PhotographPredictor(with_maps)
    alone = [next(predictor([photograph(content)])) for content in shown]
    found: dict[int, Prediction | Failure] = {}

    def ask(number: int) -> None:
        found[number] = next(predictor([photograph(shown[number])]))

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

    predicted = PhotographPredictor(bundle, batch_size=4)(Photograph(str(n), lambda n=n: noted(n)) for n in range(40))
    next(predicted)
    assert len(read) <= 8
    predicted.close()
