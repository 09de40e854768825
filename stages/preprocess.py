"""Decode every photograph once, as the network's input."""

from dermascreen.artifacts.dataset.details import PreprocessDetails
from dermascreen.artifacts.dataset.images import PROCESSED
from dermascreen.artifacts.dataset.manifest import RAW, Manifest
from dermascreen.core.stage import stage
from dermascreen.data.photographs.decode import decode


def main() -> None:
    with stage("preprocess") as run:
        paths, params = Manifest.read().path, run.params.preprocess
        decode(RAW, paths, params, PROCESSED)
        run.report(PreprocessDetails(images=len(paths), image_size=params.image_size))


if __name__ == "__main__":
    main()
