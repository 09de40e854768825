"""Show what the network looked at on some test images, and put the results on one page."""

from typing import Any

import numpy as np
from tqdm import tqdm

from dermascreen.explanation.gradcam import explain, summarise
from dermascreen.explanation.selection import select
from dermascreen.files import read_json, read_table, replacing
from dermascreen.images.arrays import Images
from dermascreen.model.network import load_model
from dermascreen.pipeline import EXPLAIN, METRICS, MODEL, OPERATING_POINTS, PREDICTIONS, PROCESSED, WEIGHTS, stage
from dermascreen.report.figures import draw, overlay, save_figure, save_image
from dermascreen.report.page import Picture, render

SHOWN = ("audit", "split", "train", "evaluate", "threshold")  # the metrics that the page repeats


def main() -> None:
    with stage("explain") as run:
        params = run.params
        metrics = {name: read_json(METRICS / f"{name}.json") for name in SHOWN}
        thresholds = {name: point["threshold"] for name, point in read_json(OPERATING_POINTS).items()}
        table = read_table(PREDICTIONS, ["path", "split", "label", "probability"])
        splits = {name: table[table["split"].eq(name)] for name in ("val", "test")}
        predictions = {
            name: (part["label"].to_numpy(), part["probability"].to_numpy()) for name, part in splits.items()
        }

        chosen = select(splits["test"], thresholds["high_recall"], params.explain.images, params.seed)
        signs = np.where(chosen["probability"].ge(thresholds["high_recall"]), 1.0, -1.0)
        images = Images.open(PROCESSED)
        rows = images.rows(chosen["path"].tolist())
        network = load_model(WEIGHTS, MODEL)
        drawn = explain(
            network, params.explain.layer, images.pixels, rows, signs, batch_size=params.evaluate.batch_size
        )
        maps = list(tqdm(drawn, "explain", len(rows), unit="image", disable=None))
        metrics["explain"] = summarise(maps, chosen["outcome"].tolist())

        with replacing(EXPLAIN) as folder:
            (folder / "images").mkdir(parents=True)
            pictures = []
            records: list[Any] = chosen.to_dict("records")
            for number, (record, row, (values, flat)) in enumerate(zip(records, rows, maps, strict=True)):
                image, coloured = f"images/{number:03}.png", f"images/{number:03}-map.png"
                save_image(images.pixels[row], folder / image)
                save_image(overlay(images.pixels[row], values), folder / coloured)
                pictures.append(Picture(**record, image=image, overlay=coloured, flat=flat))
            for name, figure in draw(predictions, thresholds).items():
                save_figure(figure, folder / name)
            (folder / "index.html").write_text(render(metrics, pictures), encoding="utf-8")
        run.write_metrics(metrics["explain"])
        run.tracking.log_artifact(EXPLAIN)


if __name__ == "__main__":
    main()
