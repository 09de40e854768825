"""Show what the network looked at on some test images, and check on others whether to believe it."""

import numpy as np
import pandas as pd
from tqdm import tqdm

from dermascreen.explanation.faithfulness import check
from dermascreen.explanation.gradcam import MapKind, explain, frame_energy, summarise
from dermascreen.explanation.selection import draw, select
from dermascreen.files import read_json, replacing, write_json
from dermascreen.images.arrays import Images
from dermascreen.model.inference import extract_features
from dermascreen.model.network import load_model
from dermascreen.model.reference import Reference
from dermascreen.pipeline import (
    EXPLAIN,
    EXPLANATION,
    MODEL,
    OPERATING_POINTS,
    PREDICTIONS,
    PROCESSED,
    REFERENCE,
    WEIGHTS,
    stage,
)
from dermascreen.report.pictures import marked, save_image
from dermascreen.tables import read_table, write_table

COLUMNS = ["path", "split", "label", "calibrated_probability", "probability_low", "probability_high"]


def main() -> None:
    with stage("explain") as run:
        params, seed, batch_size = run.params.explain, run.params.seed, run.params.evaluate.batch_size
        threshold = read_json(OPERATING_POINTS).number("high_recall", "threshold")
        table = read_table(PREDICTIONS, COLUMNS, ["test"])
        table["probability"] = table["calibrated_probability"]  # the one that thresholds are on
        test = table[table["split"].eq("test")]
        chosen = select(test, threshold, params.images, seed).merge(test[["path", *COLUMNS[-2:]]], on="path")
        checked = draw(test, params.checked, seed)
        images = Images.open(PROCESSED)
        network = load_model(WEIGHTS, MODEL)

        def signs(shown: pd.DataFrame) -> np.ndarray:
            return np.where(shown["probability"].ge(threshold), 1.0, -1.0)

        rows = images.rows(chosen["path"])
        reference = Reference.read(REFERENCE)
        distances = reference.distances(extract_features(network, images.pixels, rows, batch_size))
        near = {
            name: [reference.nearest(one, label, 1)[0].path for one in distances]
            for label, name in enumerate(("near_benign", "near_malignant"))
        }
        names = pd.Series([f"images/{number:03}" for number in range(len(chosen))], dtype=str)
        pictures = chosen.assign(
            image=names + ".png", overlay=names + "-map.png", **{name: names + f"-{name}.png" for name in near}
        )
        kind = MapKind(params.layer, params.variant)
        maps = explain(network, kind, images.pixels, rows, signs(chosen), batch_size=batch_size)
        energies: list[float | None] = []
        with replacing(EXPLAIN) as folder:
            (folder / "images").mkdir(parents=True)
            shown = zip(pictures.itertuples(), rows, maps, strict=True)
            for picture, row, (values, flat) in tqdm(shown, "explain", len(rows), unit="image", disable=None):
                save_image(images.pixels[row], folder / str(picture.image))
                save_image(marked(images.pixels[row], values), folder / str(picture.overlay))
                energies.append(None if flat else frame_energy(values))
            for name, paths in near.items():
                for picture, row in zip(pictures[name], images.rows(paths), strict=True):
                    save_image(images.pixels[row], folder / picture)
            write_table(pictures.assign(flat=[energy is None for energy in energies]), folder / "pictures.csv")

        pixels = images.pixels[images.rows(checked["path"])]
        checks = check(network, kind, pixels, signs(checked), seed=seed, batch_size=batch_size)
        write_json({**kind._asdict(), "checks": list(checks["checks"]), "failed": checks["failed"]}, EXPLANATION)
        summary = summarise(energies, chosen["outcome"].tolist(), pixels.shape[1:3])
        run.write_metrics({**kind._asdict(), **summary, "believable": checks})
        run.tracking.log_artifact(EXPLAIN)


if __name__ == "__main__":
    main()
