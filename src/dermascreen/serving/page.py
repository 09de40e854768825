"""What a visitor sees; Streamlit runs this from top to bottom at each visit and each change of it."""

import math
import sys
from functools import partial

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from dermascreen.errors import DermascreenError
from dermascreen.evidence.screening import PREVALENCES, screening
from dermascreen.images.arrays import Images
from dermascreen.model.reference import find_pixels
from dermascreen.pipeline import PROCESSED
from dermascreen.report.pictures import enlarge, marked
from dermascreen.report.wording import percent, share
from dermascreen.serving.app import MAX_FILE_MIB, MAX_FILES, judge_of
from dermascreen.serving.bundle import BAND, BENIGN, MALIGNANT, REFER, Bundle
from dermascreen.serving.judge import Failure, Judge, Judgement, Photograph
from dermascreen.serving.output import maps_in_words, point_in_words

NEAR_WIDTH = 150  # pixels of a training image
NAMES = {"default": "Default", "f1_optimal": "Best F1", "youden": "Youden", "high_recall": "High recall", BAND: "Band"}
SAID = {MALIGNANT: "Malignant", BENIGN: "Benign", REFER: "Refer"}
COLOURS = {MALIGNANT: "orange", BENIGN: "blue", REFER: "violet"}  # told apart by the colour-blind, with the word


def main(model: str) -> None:
    st.set_page_config("dermascreen", "\N{LEFT-POINTING MAGNIFYING GLASS}", layout="centered")
    judge = judge_of(model)
    st.title("dermascreen")
    st.warning(
        "**Not a medical device.** Nothing here is advice about a person's skin. A heat map is not a lesion's outline.",
        icon=":material/warning:",
    )
    given = uploads()
    threshold = operating_point(judge.bundle)
    for one in judge_all(judge, [(file.name, file.getvalue()) for file in given]):
        with st.container(border=True):
            if isinstance(one, Failure):
                st.error(f"**{plain(one.name)}** {one.problem}.")
            else:
                show(judge.bundle, one, threshold)
    with st.expander("The model's card"):
        st.markdown(judge.bundle.card)


def uploads() -> list[UploadedFile]:
    """What the visitor has given; more than MAX_FILES at a time are let go, so that memory stays bounded."""
    times = st.session_state.setdefault("times_refused", 0)
    given = st.file_uploader(
        f"Dermoscopy photographs: JPEG or PNG, at most {MAX_FILES} at a time, {MAX_FILE_MIB} MiB each",
        accept_multiple_files=True,
        max_upload_size=MAX_FILE_MIB,
        help="They stay in this computer's memory until you take them out or close the page.",
        key=f"uploads-{times}",
    )
    if len(given) > MAX_FILES:
        st.session_state.update(times_refused=times + 1, refused=len(given))  # another key is another, empty uploader
        st.rerun()
    if refused := st.session_state.pop("refused", 0):
        st.error(f"{refused} photographs were given, and at most {MAX_FILES} are taken at a time: none was kept.")
    return given


def judge_all(judge: Judge, given: list[tuple[str, bytes]]) -> list[Judgement | Failure]:
    """Judge what was not judged before; a visitor's judgements are kept for as long as the page is open."""
    known: dict[tuple[str, bytes], Judgement | Failure] = st.session_state.setdefault("judged", {})
    new = [key for key in dict.fromkeys(given) if key not in known]
    if new:
        with st.spinner(f"Judging {len(new)} photograph{'s' * (len(new) > 1)} …"):
            found = judge(Photograph(name, partial(bytes, content)) for name, content in new)
            known.update(zip(new, found, strict=True))
    for key in known.keys() - set(given):
        del known[key]  # taken out by the visitor
    return [known[key] for key in given]


def operating_point(bundle: Bundle) -> float | None:
    """Let the visitor choose a threshold, and say what it would do; None until another one than the model's is chosen.

    A slider has steps, and a decision may hang on the last bit: untouched, it is the model's own point that decides.
    """
    st.subheader("Operating point")
    # Rounded down: a threshold above that of high_recall would not keep its promise.
    start = math.floor(1000 * float(bundle.points["high_recall"]["threshold"])) / 10
    threshold = st.slider(
        "Call a photograph malignant from this probability on, in percent",
        0.0, 100.0, start, 0.1, format="%.1f %%",
        help=point_in_words(bundle, "high_recall"),
    ) / 100  # fmt: skip
    prevalence = st.radio(
        "Of 1,000 lesions, malignant are", PREVALENCES, index=1, horizontal=True,
        format_func=lambda value: f"{1000 * value:.0f}",
    )  # fmt: skip
    # The table has thresholds 0, 0.01, ..., 1: at the next one up as many cancers are missed, or more.
    above = int(np.searchsorted(bundle.sweep["threshold"], threshold - 1e-9))
    row = bundle.sweep.iloc[min(above, len(bundle.sweep) - 1)]
    at = screening({name: int(row[name]) for name in ("tn", "fp", "fn", "tp")})[f"{prevalence:g}"]
    for column, measure, label in zip(
        st.columns(2), ("missed_per_1000", "false_alarms_per_1000"), ("Cancers missed", "False alarms"), strict=True
    ):
        ends = at["intervals"][measure]["clopper_pearson_box"]
        column.metric(f"{label} in 1,000", f"{at[measure]:.1f}", border=True)
        column.caption(f"95 % interval: {ends['low']:.1f} to {ends['high']:.1f}")
    st.caption(
        f"As on the test images at a threshold of {row['threshold']:.2f}, if sensitivity and specificity were the same "
        "elsewhere, which they seldom are."
    )
    return None if threshold == start / 100 else threshold


def show(bundle: Bundle, one: Judgement, threshold: float | None) -> None:
    """One photograph: what is said of it, how sure that is, and what it rests on."""
    if threshold is None:
        called, place, doubt = one.decision, NAMES.get(one.point, one.point), one.caveat
    else:
        called, place = MALIGNANT if one.probability >= threshold else BENIGN, percent(threshold)
        doubt = "Nothing is promised at a threshold that was chosen by hand."
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
        caption = "No region stands out: the map is flat" if one.map.flat else "Where the evidence lay, coarsely"
        alt = f"The same, coloured where something spoke for {MALIGNANT if one.decision != BENIGN else BENIGN}"
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


def nearest(one: Judgement) -> None:
    """The training images that the network takes for most alike: pictures where this folder has the very same, else
    names. Another data set may have other photographs under the same names.
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
        return Images.open(PROCESSED)
    except DermascreenError:
        return None


def plain(text: str) -> str:
    """A file's name as Markdown shows it literally."""
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]<>()#+-.!|~:$" else letter for letter in text)


main(sys.argv[1])
