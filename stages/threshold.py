"""Choose the operating points on val, and apply them once to test."""

from dataclasses import replace

from dermascreen.artifacts.dataset.metadata import Metadata
from dermascreen.artifacts.dataset.splits import TEST, VAL
from dermascreen.artifacts.model.calibration import Calibration
from dermascreen.artifacts.model.operating_points import OPERATING_POINTS, write_operating_points
from dermascreen.artifacts.model.sweep import Sweep
from dermascreen.artifacts.results.curves import DecisionCurve, curve_file
from dermascreen.artifacts.results.details.evaluation import ThresholdDetails
from dermascreen.artifacts.results.predictions import Predictions
from dermascreen.core.hashes import sha256_of
from dermascreen.core.stage import stage
from dermascreen.core.tables import write_table
from dermascreen.data.strata import divide, require_groups
from dermascreen.evidence.thresholds import choose_points, shortfalls, sweep
from dermascreen.evidence.utility import decision_curve


def main() -> None:
    with stage("threshold") as run:
        predictions, wanted = Predictions.read(splits=[VAL, TEST]), run.params.threshold
        parts = [predictions.part(name) for name in (VAL, TEST)]
        val, test = (part.sample for part in parts)
        metadata = Metadata.read()
        groups, of_test = (divide(metadata, part.path) for part in parts)
        kept_in = {name: groups[name] for name in require_groups(wanted.groups, groups)}
        points = choose_points(val, wanted.target_recall, wanted.confidence, wanted.target_specificity, kept_in)
        for sentence in shortfalls(points):
            print(sentence)

        for name, sample in ((VAL, val), (TEST, test)):
            rates = sweep(sample)
            write_table(rates[["threshold", "recall", "specificity"]], curve_file("threshold", "sweep", name))
        Sweep.of(rates).write()
        network = Calibration.read().network
        write_operating_points(replace(points, network=network, sweep=sha256_of(Sweep.PATH)))
        run.tracking.log_artifact(OPERATING_POINTS)
        DecisionCurve.of(decision_curve(test.label, test.probability)).write()
        details = ThresholdDetails.measure(points, val, test, (groups, of_test))
        for sentence in details.subgroups.shortfalls(wanted.groups, points.high_recall):
            print(sentence)
        run.report(details)


if __name__ == "__main__":
    main()
