"""Choose the operating points on val, and apply them once to test."""

from dermascreen.artifacts.dataset.splits import TEST, VAL
from dermascreen.artifacts.model.operating_points import OPERATING_POINTS, write_operating_points
from dermascreen.artifacts.model.sweep import Sweep
from dermascreen.artifacts.results.curves import DecisionCurve, curve_file
from dermascreen.artifacts.results.details.evaluation import ThresholdDetails
from dermascreen.artifacts.results.predictions import Predictions
from dermascreen.core.stage import stage
from dermascreen.core.tables import write_table
from dermascreen.evidence.thresholds import choose_points, shortfalls, sweep
from dermascreen.evidence.utility import decision_curve


def main() -> None:
    with stage("threshold") as run:
        predictions, wanted = Predictions.read(splits=[VAL, TEST]), run.params.threshold
        val, test = (predictions.part(name).sample for name in (VAL, TEST))
        points = choose_points(val, wanted.target_recall, wanted.confidence, wanted.target_specificity)
        write_operating_points(points)
        run.tracking.log_artifact(OPERATING_POINTS)
        for sentence in shortfalls(points):
            print(sentence)

        for name, sample in ((VAL, val), (TEST, test)):
            rates = sweep(sample.label, sample.probability)
            write_table(rates[["threshold", "recall", "specificity"]], curve_file("threshold", "sweep", name))
        Sweep.of(rates).write()
        DecisionCurve.of(decision_curve(test.label, test.probability)).write()
        run.report(ThresholdDetails.measure(points, val, test))


if __name__ == "__main__":
    main()
