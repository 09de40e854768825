"""Measure how much of the label can be read without the lesion, and how much of that the network reads."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from dermascreen.evidence.shortcuts import baseline_scores, report_shortcuts, twin_in
from dermascreen.files import read_json
from dermascreen.images.arrays import Images, write_pixels
from dermascreen.images.cues import coarse_jpeg, differing, file_cues, has_exif, interventions, mean_colour, pixel_cues
from dermascreen.model.inference import predict_logits
from dermascreen.model.network import load_model
from dermascreen.pipeline import (
    MANIFEST,
    MODEL,
    OPERATING_POINTS,
    PREDICTIONS,
    PROCESSED,
    RAW,
    SHORTCUTS,
    SPLITS,
    WEIGHTS,
    stage,
)
from dermascreen.tables import align, read_table, write_table


def main() -> None:
    with stage("shortcuts") as run:
        splits = read_table(SPLITS, ["path", "label", "lesion", "split"], ["train", "test"])
        source = align(read_table(MANIFEST, ["path", "source_split"]), splits["path"], MANIFEST)["source_split"]
        splits["twin"] = twin_in(splits["lesion"].to_numpy(), source.eq("train").to_numpy())
        train, test = (splits[splits["split"].eq(name)] for name in ("train", "test"))
        predictions = read_table(PREDICTIONS, ["path", "logit", "calibrated_probability"])
        predictions = align(predictions, test["path"], PREDICTIONS)
        logits = predictions["logit"].to_numpy()
        threshold = read_json(OPERATING_POINTS).number("high_recall", "threshold")

        images = Images.open(PROCESSED)
        paths, n = [*train["path"], *test["path"]], len(train)
        files, pixels = file_cues(RAW, paths), pixel_cues(images.pixels, images.rows(paths))
        baselines = {}
        for name, cues in {"file": files, **pixels._asdict()}.items():
            values = np.asarray(cues)
            baselines[name] = baseline_scores(values[:n], train["label"].to_numpy(), values[n:])

        network = load_model(WEIGHTS, MODEL)
        changed = {}
        with TemporaryDirectory() as folder:
            for name, read in interventions(RAW, images, mean_colour(pixels.frame[:n])).items():
                other = write_pixels(Path(folder) / name, paths[n:], images.pixels.shape[1], read, name)
                rows = differing(images.pixels, images.rows(paths[n:]), other)  # equal pixels have equal logits
                changed[name] = logits.copy()
                changed[name][rows] = predict_logits(network, other, rows, run.params.evaluate.tta)

        table = test[["path", "label", "lesion"]].assign(network=logits, **baselines, **changed)
        write_table(table, SHORTCUTS)
        run.tracking.log_artifact(SHORTCUTS)
        strata = {
            "twin_in_source_train": test["twin"].to_numpy(),
            "coarse_jpeg": coarse_jpeg(files[n:]),
            "exif": has_exif(files[n:]),
        }
        called = predictions["calibrated_probability"].ge(threshold).to_numpy()
        label, lesion = (test[column].to_numpy() for column in ("label", "lesion"))
        run.write_metrics(
            report_shortcuts(label, logits, called, lesion, baselines=baselines, changed=changed, strata=strata)
        )


if __name__ == "__main__":
    main()
