"""Choose the operating points on val, and apply them once to test."""

from dermascreen.evidence.thresholds import (
    SCALE,
    Predictions,
    choose_band,
    choose_points,
    report_thresholds,
    shortfalls,
    sweep,
)
from dermascreen.evidence.utility import decision_curve
from dermascreen.files import write_json
from dermascreen.pipeline import OPERATING_POINTS, PLOTS, PREDICTIONS, SWEEP, stage
from dermascreen.tables import read_table, write_table


def main() -> None:
    with stage("threshold") as run:
        table = read_table(PREDICTIONS, ["split", "label", "lesion", SCALE], ["val", "test"])
        splits = {}
        for name in ("val", "test"):
            part = table[table["split"].eq(name)]
            splits[name] = Predictions(*(part[column].to_numpy() for column in ("label", SCALE, "lesion")))
            curve = sweep(splits[name].label, splits[name].probability)
            write_table(curve[["threshold", "recall", "specificity"]], PLOTS / "threshold" / f"sweep_{name}.csv")
            if name == "test":
                write_table(curve[["threshold", "tn", "fp", "fn", "tp"]], SWEEP)
        test = splits["test"]
        write_table(decision_curve(test.label, test.probability), PLOTS / "threshold" / "decision_curve_test.csv")

        wanted = run.params.threshold
        points = choose_points(splits["val"], wanted.target_recall, wanted.confidence)
        band = choose_band(splits["val"], points, wanted.target_specificity, wanted.confidence)
        write_json({name: {**point, "scale": SCALE} for name, point in (points | band).items()}, OPERATING_POINTS)
        run.tracking.log_artifact(OPERATING_POINTS)
        run.write_metrics(report_thresholds(points, band, splits, wanted.target_recall))
        for sentence in shortfalls(points | band):
            print(sentence)


if __name__ == "__main__":
    main()
