"""Keep how the network sees the training images: to show later what is near a photograph, or that nothing is."""

import numpy as np

from dermascreen.images.arrays import Images
from dermascreen.model.inference import extract_features
from dermascreen.model.network import load_model
from dermascreen.model.reference import Reference, digest_of
from dermascreen.pipeline import MODEL, PROCESSED, REFERENCE, SPLITS, WEIGHTS, stage
from dermascreen.tables import read_table


def main() -> None:
    with stage("reference") as run:
        images = Images.open(PROCESSED)
        table = read_table(SPLITS, ["path", "label", "split"], ["train", "val", "test"])
        network = load_model(WEIGHTS, MODEL)
        parts = {name: table[table["split"].eq(name)] for name in ("train", "val", "test")}
        features = {
            name: extract_features(network, images.pixels, images.rows(part["path"]), run.params.evaluate.batch_size)
            for name, part in parts.items()
        }
        digests = [digest_of(images.pixels[row]) for row in images.rows(parts["train"]["path"])]
        known = parts["train"].assign(digest=digests)
        reference = Reference.build(known, features["train"], features["val"], run.params.seed)
        reference.write(REFERENCE)
        unusual = reference.unusualness(reference.distances(features["test"]))
        run.write_metrics(
            {
                "images": len(reference.images),
                "limit": reference.limit,
                "unusual_share_test": float(np.mean(unusual > reference.limit)),
            }
        )


if __name__ == "__main__":
    main()
