"""The page that a visitor sees; Streamlit runs this from top to bottom at each visit and each change."""

import math
import sys
from functools import partial

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from dermascreen.artifacts.dataset.images import Images
from dermascreen.core.errors import DermascreenError
from dermascreen.evidence.clusters import EffectiveSizes
from dermascreen.evidence.intervals import BOX
from dermascreen.evidence.metrics import Confusion
from dermascreen.evidence.operating_points import BAND, BENIGN, HIGH_RECALL, MALIGNANT, REFER, Point
from dermascreen.evidence.screening import PREVALENCES, screening
from dermascreen.explanation.drawing import enlarge, marked
from dermascreen.prediction.reference import find_pixels
from dermascreen.report.numbers import percent, share
from dermascreen.report.wording import POINTS
from dermascreen.serving.app import MAX_FILE_MIB, MAX_FILES, predictor_of
from dermascreen.serving.bundle import Bundle
from dermascreen.serving.output import maps_in_words, point_in_words
from dermascreen.serving.photographs import Failure, Photograph, PhotographPredictor, Prediction

NEAR_WIDTH = 150  # pixels of a training image
NAMES = POINTS | {BAND: "Band"}
SAID = {MALIGNANT: "Malignant", BENIGN: "Benign", REFER: "Refer"}
COLOURS = {MALIGNANT: "orange", BENIGN: "blue", REFER: "violet"}  # the colour-blind can tell them apart, too


def main(model: str) -> None:
    st.set_page_config("dermascreen", "\N{LEFT-POINTING MAGNIFYING GLASS}", layout="centered")
    predictor = predictor_of(model)
    st.title("dermascreen")
    st.warning(
        "**Not a medical device.** Nothing here is advice about a person's skin. A heat map is not a lesion's outline.",
        icon=":material/warning:",
    )
    given = uploads()
    threshold = operating_point(predictor.bundle)
    for one in predict_all(predictor, [(file.name, file.getvalue()) for file in given]):
        with st.container(border=True):
            if isinstance(one, Failure):
                st.error(f"**{plain(one.name)}** {one.problem}.")
            else:
                show(predictor.bundle, one, threshold)
    with st.expander("The model's card"):
        st.markdown(predictor.bundle.card)


def uploads() -> list[UploadedFile]:
    """The visitor's files; more than MAX_FILES at a time are dropped, so that memory stays bounded."""
    times = st.session_state.setdefault("times_refused", 0)
    given = st.file_uploader(
        f"Dermoscopy photographs: JPEG or PNG, at most {MAX_FILES} at a time, {MAX_FILE_MIB} MiB each",
        accept_multiple_files=True,
        max_upload_size=MAX_FILE_MIB,
        help="They stay in this computer's memory until you remove them or close the page.",
        key=f"uploads-{times}",
    )
    if len(given) > MAX_FILES:
        st.session_state.update(times_refused=times + 1, refused=len(given))  # a new key makes a new, empty uploader
        st.rerun()
    if refused := st.session_state.pop("refused", 0):
        st.error(f"{refused} photographs were given, and at most {MAX_FILES} are accepted at a time: none was kept.")
    return given


def predict_all(predictor: PhotographPredictor, given: list[tuple[str, bytes]]) -> list[Prediction | Failure]:
    """Predict what was not predicted before; a visitor's predictions are kept as long as the page is open."""
    known: dict[tuple[str, bytes], Prediction | Failure] = st.session_state.setdefault("predicted", {})
    new = [key for key in dict.fromkeys(given) if key not in known]
    if new:
        with st.spinner(f"Predicting {len(new)} photograph{'s' * (len(new) > 1)} …"):
            found = predictor(Photograph(name, partial(bytes, content)) for name, content in new)
            known.update(zip(new, found, strict=True))
    for key in known.keys() - set(given):
        del known[key]  # removed by the visitor
    return [known[key] for key in given]


def operating_point(bundle: Bundle) -> float | None:
    """Let the visitor choose a threshold, and show what it would do; None as long as it is the model's own.

    A slider has steps, and a decision may depend on the last bit: if it is not moved, the model's own point decides.
    """
    st.subheader("Operating point")
    # Rounded down: a threshold above that of high_recall would not have its guarantee.
    start = math.floor(1000 * bundle.points.high_recall.threshold) / 10
    threshold = st.slider(
        "Call a photograph malignant from this probability on, in percent",
        0.0, 100.0, start, 0.1, format="%.1f %%",
        help=point_in_words(bundle, HIGH_RECALL),
    ) / 100  # fmt: skip
    prevalence = st.radio(
        "Of 1,000 lesions, malignant are", PREVALENCES, index=1, horizontal=True,
        format_func=lambda value: f"{1000 * value:.0f}",
    )  # fmt: skip
    # The table has thresholds 0, 0.01, ..., 1: at the next higher one at least as many cancers are missed.
    sweep = bundle.sweep
    above = min(int(np.searchsorted(sweep.threshold, threshold - 1e-9)), len(sweep) - 1)
    counts = Confusion(*(int(column[above]) for column in (sweep.tn, sweep.fp, sweep.fn, sweep.tp)))
    sizes = sweep.sizes(above)
    at = screening(counts, sizes or EffectiveSizes(0, 0))[f"{prevalence:g}"]
    for column, measure, label in zip(
        st.columns(2), ("missed_per_1000", "false_alarms_per_1000"), ("Cancers missed", "False alarms"), strict=True
    ):
        ends = getattr(at.intervals, measure)[BOX]
        column.metric(f"{label} in 1,000", f"{getattr(at, measure):.1f}", border=True)
        column.caption(
            f"95 % interval: {ends.low:.1f} to {ends.high:.1f}"
            if sizes
            else "No interval: this model was made before its files said how many lesions its test images count as."
        )
    st.caption(
        f"As on the test images at a threshold of {sweep.threshold[above]:.2f}, if sensitivity and specificity were "
        "the same elsewhere, which they seldom are."
    )
    return None if threshold == start / 100 else threshold


def show(bundle: Bundle, one: Prediction, threshold: float | None) -> None:
    """One photograph: its decision, how certain it is, and what it rests on."""
    if threshold is None:
        called, place, doubt = one.decision, NAMES.get(one.point, one.point), one.caveat
    else:
        called, place = str(Point(threshold, "chosen by hand").decide(one.probability)), percent(threshold)
        doubt = "Nothing is guaranteed at a threshold chosen by hand."
    st.subheader(plain(one.name))
    st.markdown(
        f":{COLOURS[called]}-badge[**{SAID[called]}**] at {place} \N{MIDDLE DOT} probability of malignant "
        f"**{share(one.probability)}** ({share(one.low)} to {share(one.high)})"
    )
    if doubt:
        st.markdown(f":red[**{place}: {doubt}**]")
    for warning in one.warnings:
        st.warning(warning, icon=":material/error:")
    left, right = st.columns(2)
    left.image(enlarge(one.pixels), "As the network sees it", width="stretch", alt="The photograph")
    if one.map is not None:
        supported = MALIGNANT if one.decision != BENIGN else BENIGN
        caption = f"Where the evidence for {supported} lay, coarsely"
        if one.map.flat:
            caption = "No region stands out: the map is flat"
        alt = f"The same, coloured where something supported {supported}"
        right.image(marked(one.pixels, one.map.values), caption, width="stretch", alt=alt)
        st.caption(maps_in_words(bundle))
    with st.expander("At each operating point, and the nearest training images"):
        st.table(
            pd.DataFrame(
                [
                    (NAMES.get(point, point), SAID[said], point_in_words(bundle, point))
                    for point, said in one.decisions.items()
                ],
                columns=["operating point", "decision", "rule"],
            ).set_index("operating point")
        )
        nearest(one)


def nearest(one: Prediction) -> None:
    """The nearest training images: pictures if this folder has exactly the same ones, otherwise names, because another
    data set may have other photographs under the same names.
    """
    images = training_images()
    for label, name in enumerate((BENIGN, MALIGNANT)):
        st.markdown(f"Nearest {name} training images")
        neighbours = [near for near in one.nearest if near.label == label]
        with st.container(horizontal=True):
            for near in neighbours:
                about = f"{plain(near.path)}, distance {near.distance:.3f}"
                pixels = None if images is None else find_pixels(near, images)
                if pixels is not None:
                    st.image(enlarge(pixels), about, width=NEAR_WIDTH, alt=f"{name} lesion")
                else:
                    st.caption(about)


@st.cache_resource
def training_images() -> Images | None:
    """The decoded images of the project in this folder, if it has any that can be read."""
    try:
        return Images.open()
    except DermascreenError:
        return None


def plain(text: str) -> str:
    """A file's name as Markdown shows it literally."""
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]<>()#+-.!|~:$" else letter for letter in text)


main(sys.argv[1])
