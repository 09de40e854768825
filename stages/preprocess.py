"""Decode every photograph once, at the size of the network's input."""

from dermascreen.artifacts.dataset.details import PreprocessDetails
from dermascreen.artifacts.dataset.images import PROCESSED
from dermascreen.artifacts.dataset.manifest import RAW, Manifest
from dermascreen.core.stage import stage
from dermascreen.data.photographs.decode import decode


def main() -> None:
    with stage("preprocess") as run:
        paths, size = Manifest.read().path, run.params.preprocess.image_size
        decode(RAW, paths, size, PROCESSED)
        run.report(PreprocessDetails(images=len(paths), image_size=size))


if __name__ == "__main__":
    main()
