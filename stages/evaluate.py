"""Predict val and test, calibrate on val, and measure what needs no threshold, and the confusion at 0.5."""

from typing import Any

from dermascreen.evidence.calibration import fit_temperature, probability_intervals, with_interval
from dermascreen.evidence.evaluation import report_split
from dermascreen.evidence.metrics import curves
from dermascreen.files import write_json
from dermascreen.images.arrays import Images
from dermascreen.model.inference import predict_logits, sigmoid
from dermascreen.model.network import load_model
from dermascreen.pipeline import (
    CALIBRATION,
    MODEL,
    PLOTS,
    PREDICTIONS,
    PROBABILITY_INTERVALS,
    PROCESSED,
    SPLITS,
    WEIGHTS,
    stage,
)
from dermascreen.tables import read_table, write_table


def main() -> None:
    with stage("evaluate") as run:
        params, seed = run.params.evaluate, run.params.seed
        images = Images.open(PROCESSED)
        splits = read_table(SPLITS, ["path", "label", "lesion", "split"], ["val", "test"])
        table = splits.loc[splits["split"].isin(["val", "test"]), ["path", "split", "label", "lesion"]]
        rows = images.rows(table["path"])
        logit = predict_logits(load_model(WEIGHTS, MODEL), images.pixels, rows, params.tta)
        in_val = table["split"].eq("val").to_numpy()
        of_val = table.loc[in_val, "label"].to_numpy(), logit[in_val].astype(float)
        temperature, intervals = fit_temperature(*of_val), probability_intervals(*of_val)
        calibrated, low, high = with_interval(logit, temperature, intervals)
        table = table.assign(
            logit=logit, probability=sigmoid(logit), calibrated_probability=calibrated,
            probability_low=low, probability_high=high,
        )  # fmt: skip
        write_table(table, PREDICTIONS)
        scale = {"method": "temperature", "temperature": temperature, "fitted_on": "val", "tta": params.tta}
        write_json(scale, CALIBRATION)
        write_table(intervals, PROBABILITY_INTERVALS)
        run.tracking.log_artifact(PREDICTIONS)

        metrics: dict[str, Any] = {"temperature": temperature, "tta": params.tta}
        for name in ("val", "test"):
            part = table[table["split"].eq(name)]
            label, lesion = part["label"].to_numpy(), part["lesion"].to_numpy()
            before, after = part["probability"].to_numpy(), part["calibrated_probability"].to_numpy()
            metrics[name] = report_split(label, before, after, lesion, draws=params.bootstrap_draws, seed=seed)
            for curve, points in curves(label, after).items():
                write_table(points, PLOTS / "evaluate" / f"{curve}_{name}.csv")
        run.write_metrics(metrics)


if __name__ == "__main__":
    main()
