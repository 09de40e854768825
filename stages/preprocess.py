"""Decode every photograph once, at the size the network sees."""

from dermascreen.images.arrays import decode
from dermascreen.pipeline import MANIFEST, PROCESSED, RAW, stage
from dermascreen.tables import read_table


def main() -> None:
    with stage("preprocess") as run:
        paths = read_table(MANIFEST, ["path"])["path"].tolist()
        size = run.params.preprocess.image_size
        decode(RAW, paths, size, PROCESSED)
        run.write_metrics({"images": len(paths), "image_size": size})


if __name__ == "__main__":
    main()
