"""Predict val and test, and measure what needs no threshold, and the confusion at 0.5."""

from dermascreen.evidence.metrics import classification_metrics, curves
from dermascreen.files import read_table, write_table
from dermascreen.images.arrays import Images
from dermascreen.model.inference import predict_logits, sigmoid
from dermascreen.model.network import load_model
from dermascreen.pipeline import MODEL, PLOTS, PREDICTIONS, PROCESSED, SPLITS, WEIGHTS, stage


def main() -> None:
    with stage("evaluate") as run:
        images = Images.open(PROCESSED)
        splits = read_table(SPLITS, ["path", "label", "split"])
        predictions = splits.loc[splits["split"].isin(["val", "test"]), ["path", "split", "label"]]
        network = load_model(WEIGHTS, MODEL)
        logits = predict_logits(
            network, images.pixels, images.rows(predictions["path"]), run.params.evaluate.batch_size
        )
        predictions = predictions.assign(logit=logits, probability=sigmoid(logits))
        write_table(predictions, PREDICTIONS)
        run.tracking.log_artifact(PREDICTIONS)

        metrics = {}
        for name in ("val", "test"):
            part = predictions[predictions["split"].eq(name)]
            label, probability = part["label"].to_numpy(), part["probability"].to_numpy()
            metrics[name] = classification_metrics(label, probability)
            for curve, table in curves(label, probability).items():
                write_table(table, PLOTS / "evaluate" / f"{curve}_{name}.csv")
        run.write_metrics(metrics)


if __name__ == "__main__":
    main()
