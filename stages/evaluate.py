"""Predict val and test, calibrate on val, and compute threshold-free metrics and the confusion at 0.5."""

from dermascreen.artifacts.dataset.images import PROCESSED, Images
from dermascreen.artifacts.dataset.manifest import TEST_IMAGES, Manifest
from dermascreen.artifacts.dataset.splits import TEST, VAL, Splits
from dermascreen.artifacts.model.calibration import Calibration, ProbabilityIntervals
from dermascreen.artifacts.model.exported import EXPORTED
from dermascreen.artifacts.results.curves import curve_file
from dermascreen.artifacts.results.details.evaluation import EvaluateDetails
from dermascreen.artifacts.results.predictions import Predictions
from dermascreen.core.hashes import sha256_of
from dermascreen.core.stage import stage
from dermascreen.core.tables import write_table
from dermascreen.evidence.calibration import fit_temperature, probability_intervals
from dermascreen.evidence.evaluation import report_split
from dermascreen.evidence.metrics import curves
from dermascreen.prediction.forward import sigmoid
from dermascreen.prediction.predictor import Predictor


def main() -> None:
    with stage("evaluate") as run:
        params, seed = run.params.evaluate, run.params.seed
        images, splits = Images.open(), Splits.read(splits=[VAL, TEST])
        shown = splits.part(VAL, TEST)
        for name in (VAL, TEST):
            run.log_dataset(splits.part(name).to_frame(), name, PROCESSED, Splits.PATH)
        manifest = Manifest.read()
        run.tracking.log_tags({TEST_IMAGES: manifest.content_of(splits.part(TEST).path)})
        predictor = Predictor()
        logit = predictor.logits(images.pixels, images.rows(shown.path), params.tta)
        in_val = shown.split == VAL
        val = shown.label[in_val], logit[in_val].astype(float)
        intervals = ProbabilityIntervals.of(probability_intervals(*val))
        intervals.write()
        calibration = Calibration(
            temperature=fit_temperature(*val), tta=params.tta, network=sha256_of(EXPORTED),
            intervals=sha256_of(ProbabilityIntervals.PATH),
        )  # fmt: skip
        calibration.write()
        predictions = Predictions(
            shown.path, shown.split, shown.label, shown.lesion, logit=logit, uncalibrated=sigmoid(logit),
            **predictor.probabilities(logit)._asdict(), sha256=manifest.at(shown.path).sha256, patient=shown.patient,
        )  # fmt: skip
        predictions.write()
        run.tracking.log_artifact(Predictions.PATH)

        reports = {}
        for name in (VAL, TEST):
            part = predictions.part(name)
            draws = params.bootstrap_draws
            reports[name] = report_split(part.sample, part.uncalibrated, draws=draws, seed=seed)
            for curve, points in curves(part.label, part.probability).items():
                write_table(points, curve_file("evaluate", curve, name))
        run.report(EvaluateDetails(temperature=calibration.temperature, tta=params.tta, **reports))


if __name__ == "__main__":
    main()
