"""Divide the photographs into train, val and test so that no lesion is in two of them."""

from dermascreen.images.splits import folders_used, split_images, summarise
from dermascreen.pipeline import LESIONS, MANIFEST, SPLITS, stage
from dermascreen.tables import align, read_table, write_table


def main() -> None:
    with stage("split") as run:
        manifest = read_table(MANIFEST, ["path", "label", "source_split"])
        lesions = align(read_table(LESIONS, ["path", "lesion"]), manifest["path"], LESIONS)
        splits = split_images(manifest, lesions, run.params.split)
        write_table(splits, SPLITS)
        if "val" in folders_used(manifest, run.params.split):
            print("Val is the data set's val folder, without lesions of test; split.val_fraction is not used.")
        run.write_metrics(summarise(splits))


if __name__ == "__main__":
    main()
