"""The names and sentences that the page, the model card and the commands share."""

import numpy as np

from dermascreen.artifacts.dataset.details import AuditDetails, PartCounts
from dermascreen.artifacts.dataset.kaggle import SLUG
from dermascreen.artifacts.model.description import IMAGENET, NOTHING, Start
from dermascreen.artifacts.model.training import TrainDetails
from dermascreen.artifacts.results.curves import DecisionCurve
from dermascreen.artifacts.results.details.evaluation import ShortcutsDetails, ThresholdDetails
from dermascreen.core.params import WITH_DUPLICATES, DataParams, PreprocessParams
from dermascreen.evidence.intervals import Intervals, main_interval
from dermascreen.evidence.metrics import Rates
from dermascreen.evidence.operating_points import Band, HighRecall, Point, counted_trials, named_trials, trials
from dermascreen.evidence.point_reports import HighRecallReport, PointReport
from dermascreen.evidence.subgroups import Subgroups
from dermascreen.report.numbers import alarms, by, counted, missed, missed_range, percent, share, span

POINTS = {  # in the order of the tables
    "default": "Default",
    "f1_optimal": "Best F1",
    "youden": "Youden",
    "high_recall": "High recall",
}
BASELINES = {
    "file": "file size and format alone",
    "frame": "colours of the frame alone",
    "colour": "colours of the whole image alone",
    "thumbnail": "a thumbnail of 12 pixels a side",
}
INTERVENTIONS = {
    "frame_replaced": "frame painted over",
    "reencoded": "all re-encoded alike",
    "exif_stripped": "metadata removed",
}

CHANCE = 0.5  # the AUC of a score that says nothing
SCREENED = 0.1  # a larger share of malignant lesions than in screening

ELSEWHERE = "arXiv 2606.13135"
NO_SITE = (
    "No photographs of another site were given, so how far the results hold elsewhere is not known. Models of this "
    f"kind are reported to fall from an AUC of 0.95-0.97 at their own site to 0.80-0.89 elsewhere ({ELSEWHERE})."
)
MOST_GROUPS = 10  # named in a sentence


def points_of(threshold: ThresholdDetails) -> dict[str, PointReport]:
    """The points that have one threshold, by their names in words, in the order of the tables."""
    return {name: getattr(threshold, point) for point, name in POINTS.items()}


def network_of(architecture: str) -> str:
    """The network as the subject of a sentence; `architecture` is model.architecture of params.yaml."""
    return "A ResNet50" if architecture == "resnet50" else f"The network {architecture} of timm"


def start_of(train: TrainDetails) -> str:
    """What training started from, and whether that can have held the test images, in sentences."""
    start = train.start or Start.unrecorded(train.weights)
    if start.trained_on == NOTHING:
        return "It was trained from random weights, not by transfer learning."
    licence = f"licence {start.licence}" if start.licence else "licence not known"
    if start.trained_on == IMAGENET:
        return (
            f"It was fine-tuned from {IMAGENET} weights ({start.source}; {licence}): transfer learning. None of the "
            f"classes of {IMAGENET} is a skin lesion, so these weights are not expected to have seen the test images."
        )
    return (
        f"It was fine-tuned from the weights of {start.source} ({licence}); what those were trained on is not known "
        "here, so they may have learnt from the test images."
    )


def source_of(data: DataParams, kaggles: bool) -> str:
    """Where the images come from and whose they are, in sentences.

    Parameters: `data`, that section of params.yaml; `kaggles`, whether the images are those of SLUG.
    """
    if data.source == "synthetic":
        return (
            "The images were drawn by a program: they show no skin, and nothing here says anything about real lesions."
        )
    if kaggles:
        return (
            f"The photographs are Kaggle's {SLUG}, which were taken from the ISIC Archive, each under CC-0 or CC-BY-NC "
            "as the archive states; the rights are the archive's and its contributors'."
        )
    given = f"Kaggle's {data.slug}" if data.source == "kaggle" else f"those in {data.archive}"
    if data.source == "table":
        return f"The photographs are {given}. What is known of their rights is what their table says."
    return f"The photographs are {given}. Whose they are, and under which licence, is not known here."


def looks_of(models: int) -> str:
    """How often a test set was looked at, in a sentence; `models`, the number that was evaluated on it."""
    if models == 1:
        return "No other model is known to this MLflow store to have been evaluated on its test images."
    return (
        f"{models} models, this one among them, are known to this MLflow store to have been evaluated on these test "
        "images; if it was chosen for its results on them, those are too good, the more so the more models there were."
    )


def signature_of(key: str | None) -> str:
    """Whether a model's files are signed, in a sentence; `key`, the sha256 of the public key."""
    if key is None:
        return "Its files are not signed."
    return f"Its files are signed with the key whose public part, in PEM, has the sha256 `{key}`."


def separation_of(protocol: str) -> str:
    """Whether test is kept apart from training, in a sentence; `protocol` is split.protocol of params.yaml."""
    if protocol == WITH_DUPLICATES:
        return "Here too: this split leaves near-duplicates in train on purpose, to measure what that leak is worth."
    return "Here no lesion that is known to have several photographs is used both to train and to test."


def dependence_of(test: PartCounts, audit: AuditDetails) -> str:
    """What ranges count, in a sentence."""
    if test.patients is not None and test.unit == "patient":
        return (
            f"Ranges and tests keep the photographs of a patient together: the {test.images} test images show "
            f"{test.lesions} lesions of {counted(test.patients, 'patient', 'patients')}{_unknown(audit)}."
        )
    shown = "" if test.lesions == test.images else f": the {test.images} test images show {test.lesions}"
    return f"Ranges of shares count lesions, not photographs{shown}."


def near_duplicates_of(audit: AuditDetails, kaggles: bool) -> str:
    """How many images of the source's test folder show a lesion of its train folder, in a sentence."""
    number = audit.test_near_duplicates_of_train
    found = counted(number, "image", "images")
    where = "In the data set as published" if kaggles else "In the train and test folders as they were given"
    return f"{where}, {found} for testing {_has(number)} a near-duplicate among those for training."


def people_of(audit: AuditDetails, protocol: str) -> str:
    """Whether photographs of one person are kept together, in a sentence; `protocol` is split.protocol."""
    if audit.patients is None:
        return "Photographs of one person cannot be grouped, as the data do not say whose they are."
    kept = (
        "all photographs of a patient are in one split"
        f"{', but for the near-duplicates' if protocol == WITH_DUPLICATES else ''}."
    )
    patients = counted(audit.patients, "patient", "patients")
    if not audit.of_unknown_patients:
        return f"They are of {patients} as far as the data tell, and {kept}"
    unknown = counted(audit.of_unknown_patients, "photograph", "photographs")
    return (
        f"Of {unknown} the data do not tell the patient. If each lesion there is of a patient of its own, they are of "
        f"{patients}, and {kept}"
    )


def _unknown(audit: AuditDetails) -> str:
    """What a number of patients counts besides those that the data name."""
    return " (a lesion of an unknown patient counts as one)" if audit.of_unknown_patients else ""


def preparation_of(params: PreprocessParams) -> str:
    """How a photograph becomes the network's input."""
    size = f"{params.image_size} x {params.image_size} pixels"
    made = {
        "squash": f"resized to {size}, whatever its proportions",
        "crop": f"cut to the square in its middle and resized to {size}",
        "pad": f"resized and padded in the colour of its edge to {size}",
    }[params.fit]
    view = "cut to the field of view where it has a black surround, " if params.field_of_view == "crop" else ""
    return f"decoded, {view}{made}, nothing else"


def _has(number: int) -> str:
    return "has" if number == 1 else "have"


def prevalence_of(share_malignant: float) -> str:
    """What the share of malignant test images means for other people, in sentences."""
    text = f"{percent(share_malignant)} of the test images are malignant"
    if share_malignant > SCREENED:
        return (
            f"{text}. In screening, only a few in a hundred lesions are malignant, and a larger share of the alarms "
            "is false."
        )
    return f"{text}. Where this share is different, so is the share of the alarms that are false."


def caveat_of(point: Point | Band) -> str | None:
    """What must be said of an operating point wherever a decision rests on it, in a sentence; None if nothing must."""
    if isinstance(point, HighRecall):
        target, measure, kind = percent(point.target_recall), "sensitivity", "malignant"
        if not point.reached:
            return (
                f"This operating point is of no use: among the validation images the target sensitivity of "
                f"{target} is reached only by calling every benign image malignant."
            )
    elif isinstance(point, Band):
        target, measure, kind = percent(point.target_specificity), "specificity", "benign"
    else:
        return None
    if point.guaranteed:
        return None
    number, unit = trials(point)
    needed = counted_trials(point.lesions_needed, unit, kind)
    return (
        f"The {measure} of {target} that it aims at is not guaranteed with {percent(point.confidence)} confidence. "
        f"That would take {needed} among the validation images, which show {number}; the threshold only reaches "
        "the target among those images."
    )


def beats_chance(at: Rates) -> bool:
    """Whether a larger share of malignant images than of benign ones is called malignant."""
    counts = at.confusion
    return counts.tp * counts.benign > counts.fp * counts.malignant


def kept(high_recall: HighRecallReport) -> bool:
    """Whether the target is guaranteed, and test does not contradict it."""
    most = main_interval(high_recall.promised.intervals).high
    return caveat_of(high_recall) is None and beats_chance(high_recall.test) and most >= high_recall.target_recall


def verdict_of(high_recall: HighRecallReport, audit: AuditDetails) -> str:
    """What the high_recall point guarantees and what it did on test, in sentences."""
    target, test = percent(high_recall.target_recall), high_recall.test
    counts, interval = test.confusion, main_interval(test.intervals.recall)
    lesions, patients, promised = high_recall.test_lesions, high_recall.test_patients, high_recall.promised
    price = f"and calls {alarms(counts)} benign ones malignant as well"
    caveat = caveat_of(high_recall)
    promise = f"High recall: {caveat}"
    if not high_recall.reached:
        return f"{promise} On test it misses {missed(counts)} malignant images ({missed_range(test)}) {price}."
    if caveat is None:
        promise = _guarantee_of(high_recall, audit)
    found = f"On test it finds {counts.tp} of the {counts.malignant} malignant images"
    rate = f"{percent(counts.tp / counts.malignant)} ({span(interval, 'percent')})"
    sentences = [promise, f"{found}, {rate}, {price}."]
    if lesions.number < counts.malignant:
        sentences.append(
            f"Of the {lesions.number} malignant lesions that these show, it finds {lesions.found} in every "
            f"photograph, {percent(lesions.share)} ({span(main_interval(lesions.intervals), 'percent')})."
        )
    if patients:
        sentences.append(
            f"It finds every malignant lesion of {patients.found} of the {patients.number} patients who have any, in "
            f"every photograph, {percent(patients.share)} ({span(main_interval(patients.intervals), 'percent')})."
        )
    if main_interval(promised.intervals).high < high_recall.target_recall:
        sentences.append(f"That is less than {target}, and by more than chance explains.")
    elif promised.share < high_recall.target_recall:
        sentences.append(f"That is less than {target}, which chance may explain.")
    if not beats_chance(test):
        sentences.append("Calling as many images malignant at random would do no worse.")
    return " ".join(sentences)


def _guarantee_of(high_recall: HighRecall, audit: AuditDetails) -> str:
    number, unit = trials(high_recall)
    whose, every = "", ""
    if unit == "patient":
        whose = f"{counted(number, 'patient', 'patients')}{_unknown(audit)} with "
        every = "every malignant lesion of "
    return (
        f"Chosen on val\u2019s {whose}{counted(high_recall.lesions, 'malignant lesion', 'malignant lesions')}, where "
        f"at least {high_recall.lesions_needed} are needed and {high_recall.misses_allowed} may be missed, the "
        f"high-recall point finds {every}at least {percent(high_recall.target_recall)} of all {unit}s like them, with "
        f"{percent(high_recall.confidence)} confidence."
    )


def whom_of(subgroups: Subgroups, high_recall: HighRecallReport) -> list[str]:
    """For which groups the recall is promised by their own lesions in val, and for which it is not, in sentences."""
    promises = subgroups.promises
    if not promises:
        return []
    target, needed, (_, unit) = percent(high_recall.target_recall), high_recall.lesions_needed, trials(high_recall)
    named = {one: f"{column} {name}" for one in promises for column, name in [one]}
    kept = [named[one] for one, promise in promises.items() if promise.kept]
    broken = [
        f"{named[one]} (misses {promise.missed} of {promise.lesions} {unit}s, where "
        f"{counted(promise.allowed, 'is', 'are')} allowed)"
        for one, promise in promises.items()
        if not promise.kept and promise.allowed is not None
    ]
    few = [
        f"{named[one]} ({promise.lesions})"
        for one, promise in promises.items()
        if promise.allowed is None and promise.lesions
    ]
    none = sum(not promise.lesions for promise in promises.values())
    confident = f"with {percent(high_recall.confidence)} confidence"
    each = confident if len(kept) == 1 else f"each {confident}, and not all of them together"
    sentences = [
        f"A recall of {target} is promised by their own {unit}s of val for {_listed(kept)}, {each}."
        if kept
        else f"A recall of {target} is promised for no group by its own {unit}s of val."
    ]
    if broken:
        sentences.append(f"It is not for {_listed(broken)}.")
    if few:
        sentences.append(
            f"Too few {named_trials(unit, 'malignant')} in val to promise anything, of the {needed} needed: "
            f"{_listed(few)}."
        )
    if none:
        sentences.append(f"Val has no malignant lesion of {counted(none, 'further group', 'further groups')}.")
    return sentences


def _listed(names: list[str]) -> str:
    shown, more = names[:MOST_GROUPS], len(names) - MOST_GROUPS
    return ", ".join([*shown, f"{more} more"] if more > 0 else shown)


def extremes_of(threshold: ThresholdDetails) -> list[str]:
    """A sentence for each operating point at which every test image is called the same."""
    sentences = []
    for name, point in points_of(threshold).items():
        counts = point.test.confusion
        if counts.called == 0:
            sentences.append(
                f"{name}: no test image is called malignant, so every cancer is missed, and there is no precision."
            )
        if counts.called == counts.total:
            sentences.append(f"{name}: every test image is called malignant, so nothing is decided.")
    return sentences


def reduction_of(threshold: ThresholdDetails) -> str:
    """Missed cancers and false alarms on test at high recall, compared with the default, in sentences.

    Fewer missed cancers are no gain where the point is of no use, or no better than chance.
    """
    high, at_half = threshold.high_recall, threshold.default.test
    default, counts = at_half.confusion, high.test.confusion
    fewer, relative = threshold.fn_reduction.fewer_missed, threshold.fn_reduction.relative
    if not high.reached or not beats_chance(high.test):
        said = (
            f"On test the default misses {missed(default)} malignant images ({missed_range(at_half)}) and calls "
            f"{alarms(default)} benign ones malignant"
        )
        return (
            f"{said}; that high recall misses fewer is no gain, as it does not separate the classes."
            if fewer > 0
            else f"{said}."
        )
    beside = f"On test high recall misses {missed(counts)} malignant images ({missed_range(high.test)})"
    more = counts.fp - default.fp
    how_many = f"{abs(more)} {'more' if more > 0 else 'fewer'}" if more else "as many"
    price = f"{how_many} benign ones called malignant"
    if fewer > 0 and relative is not None:
        share_less = percent(relative)
        return f"{beside}, {fewer} fewer than the default ({share_less} of what that misses), with {price}."
    if fewer < 0:
        return f"{beside}, {-fewer} more than the default, with {price}."
    return f"{beside}, as many as the default, with {price}."


def chance_of(intervals: Intervals) -> str:
    """A sentence where an AUC on test with these intervals is not shown to be better than chance, else nothing."""
    interval = main_interval(intervals)
    if interval.low > CHANCE:
        return ""
    if interval.high < CHANCE:
        return "On test it ranks the images worse than chance would: its AUC is below 0.5."
    return "On test its AUC cannot be distinguished from 0.5, which is that of chance."


def baseline_of(shortcuts: ShortcutsDetails) -> str:
    """The network compared with the best baseline, in a sentence."""
    name = shortcuts.best_baseline
    best = shortcuts.baselines[name]
    give = "gives" if name == "thumbnail" else "give"
    return (
        f"Without the lesion\u2019s structure, {BASELINES[name]} {give} an AUC of {share(best.roc_auc)} on test; "
        f"the network\u2019s is {by(best.gain)}."
    )


def compression_of(shortcuts: ShortcutsDetails) -> str:
    """What becomes of the AUC once all files are saved alike, in a sentence."""
    again = shortcuts.reencoded
    saved, found = "all test files saved again as JPEG in the same way", f"{share(again.roc_auc)}, {by(again.change)}"
    if again.falls:
        return f"Its AUC depends on how files were saved: with {saved}, it is {found}."
    return f"With {saved}, its AUC is {found}."


def covariates_of(shortcuts: ShortcutsDetails) -> str:
    """What the picture adds to what is known without it, in a sentence; nothing where the data tell nothing of that."""
    if (found := shortcuts.covariates) is None:
        return ""
    *others, last = found.columns
    columns = f"{', '.join(others)} and {last}" if others else last
    return (
        f"Without any picture, {columns} alone give{'' if others else 's'} an AUC of {share(found.alone.roc_auc)} on "
        f"test. Together with the network, {share(found.together.roc_auc)}: compared with that, "
        f"{by(found.picture_adds.gain)}; compared with the network alone, {by(found.covariates_add.gain)}."
    )


def benefit_of(curve: DecisionCurve) -> str:
    """Where acting on the model does more good than treating all or none."""
    at = curve.threshold[curve.model > np.maximum(curve.treat_all, curve.treat_none)]
    if not len(at):
        return (
            "At no threshold drawn did acting on the model do more good on these images than treating everyone or no "
            "one."
        )
    where = f"from {at.min():g} to {at.max():g}" if len(at) > 1 else f"{at.min():g}"
    return (
        f"At {len(at)} of the {len(curve)} thresholds drawn, {where}, acting on the model did more good on these "
        "images than treating everyone or no one."
    )
