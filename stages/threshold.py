"""Choose the operating points on val, and apply them once to test."""

from dermascreen.evidence.thresholds import choose_points, report_points, sweep
from dermascreen.files import read_table, write_json, write_table
from dermascreen.pipeline import OPERATING_POINTS, PLOTS, PREDICTIONS, stage


def main() -> None:
    with stage("threshold") as run:
        predictions = read_table(PREDICTIONS, ["split", "label", "probability"])
        labels, scores = {}, {}
        for name in ("val", "test"):
            part = predictions[predictions["split"].eq(name)]
            labels[name], scores[name] = part["label"].to_numpy(), part["probability"].to_numpy()
            write_table(sweep(labels[name], scores[name]), PLOTS / "threshold" / f"sweep_{name}.csv")

        target = run.params.threshold.target_recall
        points = choose_points(labels["val"], scores["val"], target)
        write_json(points, OPERATING_POINTS)
        run.tracking.log_artifact(OPERATING_POINTS)
        report = report_points(points, labels, scores, target)
        run.write_metrics(report)
        if not points["high_recall"]["reached"]:
            print(f"A val recall of {target:g} is reached only by calling every image malignant.")


if __name__ == "__main__":
    main()
