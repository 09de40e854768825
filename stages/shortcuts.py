"""Measure how well the label can be predicted without the lesion, and how much the network uses of that."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from dermascreen.artifacts.dataset.images import Images, write_pixels
from dermascreen.artifacts.dataset.manifest import RAW, Manifest
from dermascreen.artifacts.dataset.metadata import Metadata
from dermascreen.artifacts.dataset.splits import TEST, TRAIN, VAL, Splits
from dermascreen.artifacts.results.details.evaluation import ShortcutsDetails
from dermascreen.artifacts.results.predictions import Predictions
from dermascreen.artifacts.results.shortcuts import ShortcutScores
from dermascreen.core.stage import stage
from dermascreen.data.cues import coarse_jpeg, differing, file_cues, has_exif, interventions, mean_colour, pixel_cues
from dermascreen.data.strata import describe, untold
from dermascreen.evidence.shortcuts import baseline_scores, beside_network, near_duplicate_in, report_covariates
from dermascreen.prediction.predictor import Predictor


def main() -> None:
    with stage("shortcuts") as run:
        splits = Splits.read(splits=[TRAIN, VAL, TEST])
        near_duplicate = near_duplicate_in(splits.lesion, Manifest.read().at(splits.path).source_split == TRAIN)
        train, val, test = (splits.part(part) for part in (TRAIN, VAL, TEST))
        every, predictor, metadata = Predictions.read(), Predictor(), Metadata.read()
        predictions = every.at(test.path)
        called = predictor.points.flags(predictions.probability)

        images = Images.open()
        paths, n = [*train.path, *test.path], len(train)
        files, pixels = file_cues(RAW, paths), pixel_cues(images.pixels, images.rows(paths))
        baselines = {}
        for name, cues in {"file": files, **pixels._asdict()}.items():
            values = np.asarray(cues)
            baselines[name] = baseline_scores(values[:n], train.label, values[n:])

        known, covariates = describe(metadata, [*train.path, *val.path, *test.path], train.path), None
        alone, both = np.zeros(len(test)), predictions.logit
        if known.columns:
            others = baseline_scores(known.numbers[:n], train.label, known.numbers[n:], known.categorical)
            on_val, alone = others[: len(val)], others[len(val) :]
            both = beside_network(val.label, (on_val, every.at(val.path).logit), (alone, predictions.logit))
            covariates = report_covariates(
                test.label, predictions.logit, predictions.clusters, columns=known.columns, alone=alone, both=both
            )

        changed = {}
        with TemporaryDirectory() as folder:
            preprocess = predictor.description.preprocess
            for name, read in interventions(RAW, images, preprocess, mean_colour(pixels.frame[:n])).items():
                other = write_pixels(Path(folder) / name, paths[n:], images.pixels.shape[1], read, name)
                rows = differing(images.pixels, images.rows(paths[n:]), other)  # equal pixels have equal logits
                changed[name] = predictions.logit.copy()
                changed[name][rows] = predictor.logits(other, rows, run.params.evaluate.tta)

        scores = ShortcutScores(
            test.path, test.label, test.lesion, predictions.logit, **baselines, **changed,
            covariates=alone, with_covariates=both,
        )  # fmt: skip
        scores.write()
        run.tracking.log_artifact(ShortcutScores.PATH)
        strata = {
            "near_duplicate_in_source_train": near_duplicate[splits.split == TEST],
            "coarse_jpeg": coarse_jpeg(files[n:]),
            "exif": has_exif(files[n:]),
        }
        details = ShortcutsDetails.measure(
            test.label,
            predictions.logit,
            called,
            predictions.clusters,
            baselines=baselines,
            changed=changed,
            strata=strata,
            not_assessable=untold(metadata),
            covariates=covariates,
        )
        run.report(details)


if __name__ == "__main__":
    main()
