"""Divide the photographs into train, val and test, by patient and lesion."""

from dermascreen.artifacts.dataset.lesions import Lesions
from dermascreen.artifacts.dataset.manifest import Manifest
from dermascreen.artifacts.dataset.metadata import Metadata
from dermascreen.artifacts.dataset.splits import VAL
from dermascreen.core.program import visible
from dermascreen.core.stage import stage
from dermascreen.data.splits import folders_used, split_images, summarise
from dermascreen.data.strata import divide, require_groups, unread_ages


def main() -> None:
    with stage("split") as run:
        manifest, metadata = Manifest.read(), Metadata.read()
        splits = split_images(manifest, Lesions.read(), metadata, run.params.split)
        require_groups(run.params.threshold.groups, divide(metadata, splits.path))  # now, and not after training
        splits.write()
        if VAL in folders_used(manifest, run.params.split):
            print("Val is the data set's val folder, without lesions of test; split.val_fraction is not used.")
        for sentence in unread_ages(metadata):
            print(f"split: {visible(sentence)}")
        run.report(summarise(splits, metadata))


if __name__ == "__main__":
    main()
