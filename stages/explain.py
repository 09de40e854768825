"""Show what the network looked at on some test images."""

import numpy as np
import pandas as pd
from tqdm import tqdm

from dermascreen.explanation.gradcam import explain, summarise
from dermascreen.explanation.selection import select
from dermascreen.files import read_json, replacing
from dermascreen.images.arrays import Images
from dermascreen.model.network import load_model
from dermascreen.pipeline import EXPLAIN, MODEL, OPERATING_POINTS, PREDICTIONS, PROCESSED, WEIGHTS, stage
from dermascreen.report.pictures import overlay, save_image
from dermascreen.tables import read_table, write_table


def main() -> None:
    with stage("explain") as run:
        params = run.params
        threshold = read_json(OPERATING_POINTS).number("high_recall", "threshold")
        table = read_table(PREDICTIONS, ["path", "split", "label", "calibrated_probability"], ["test"])
        table["probability"] = table["calibrated_probability"]  # the one that thresholds are on
        chosen = select(table[table["split"].eq("test")], threshold, params.explain.images, params.seed)
        signs = np.where(chosen["probability"].ge(threshold), 1.0, -1.0)
        images = Images.open(PROCESSED)
        rows = images.rows(chosen["path"].tolist())
        network = load_model(WEIGHTS, MODEL)
        drawn = explain(
            network, params.explain.layer, images.pixels, rows, signs, batch_size=params.evaluate.batch_size
        )
        maps = list(tqdm(drawn, "explain", len(rows), unit="image", disable=None))

        names = pd.Series([f"images/{number:03}" for number in range(len(chosen))], dtype=str)
        pictures = chosen.assign(image=names + ".png", overlay=names + "-map.png", flat=[flat for _, flat in maps])
        with replacing(EXPLAIN) as folder:
            (folder / "images").mkdir(parents=True)
            for picture, row, (values, _) in zip(pictures.itertuples(), rows, maps, strict=True):
                save_image(images.pixels[row], folder / str(picture.image))
                save_image(overlay(images.pixels[row], values), folder / str(picture.overlay))
            write_table(pictures, folder / "pictures.csv")
        run.write_metrics(summarise(maps, chosen["outcome"].tolist()))
        run.tracking.log_artifact(EXPLAIN)


if __name__ == "__main__":
    main()
