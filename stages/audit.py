"""Group the photographs that show one lesion."""

import pandas as pd

from dermascreen.files import read_table, write_table
from dermascreen.images.lesions import join, perceptual_hashes, same_lesion_pairs, summarise
from dermascreen.pipeline import LESIONS, MANIFEST, RAW, stage


def main() -> None:
    with stage("audit") as run:
        manifest = read_table(MANIFEST, ["path", "label", "source_split", "sha256"])
        hashes = perceptual_hashes(RAW, manifest["path"].tolist())
        lesion = join(len(manifest), same_lesion_pairs(hashes, run.params.audit.max_distance))
        write_table(pd.DataFrame({"path": manifest["path"], "lesion": lesion}), LESIONS)
        run.write_metrics(summarise(manifest, lesion))


if __name__ == "__main__":
    main()
