"""Keep the embeddings of the training images, to find those nearest to a photograph and to tell if it is novel."""

import numpy as np

from dermascreen.artifacts.dataset.images import Images
from dermascreen.artifacts.dataset.splits import TEST, TRAIN, VAL, Splits
from dermascreen.artifacts.model.exported import EXPORTED
from dermascreen.artifacts.model.reference import ReferenceImages
from dermascreen.artifacts.results.details.reference import ReferenceDetails
from dermascreen.core.hashes import sha256_of
from dermascreen.core.stage import stage
from dermascreen.prediction.forward import ForwardPass, embed
from dermascreen.prediction.reference import Reference, digest_of, draw


def main() -> None:
    with stage("reference") as run:
        images, splits = Images.open(), Splits.read(splits=[TRAIN, VAL, TEST])
        network = ForwardPass()
        train = splits.part(TRAIN)
        train = train[draw(train.label, run.params.seed)]
        rows = {TRAIN: images.rows(train.path), **{name: images.rows(splits.part(name).path) for name in (VAL, TEST)}}
        embeddings = {name: embed(network, images.pixels, part) for name, part in rows.items()}
        digests = np.array([digest_of(images.pixels[row]) for row in rows[TRAIN]], dtype=object)
        known = ReferenceImages(train.path, train.label, digests)
        reference = Reference.build(known, embeddings[TRAIN], embeddings[VAL], sha256_of(EXPORTED))
        reference.write()
        share = float(np.mean(reference.novelty_of(embeddings[TEST]) > reference.limit))
        run.report(ReferenceDetails(images=len(reference.images), limit=reference.limit, novel_share_test=share))


if __name__ == "__main__":
    main()
