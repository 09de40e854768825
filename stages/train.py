"""Train ResNet50 on the training images and keep the epoch with the best val AUC."""

import shutil

import pandas as pd
import torch

from dermascreen.images.arrays import Images
from dermascreen.model.batches import Split
from dermascreen.model.network import build, save
from dermascreen.model.training import Epoch, fit, summarise
from dermascreen.pipeline import CACHE, MODEL, PLOTS, PROCESSED, SPLITS, WEIGHTS, project_root, stage
from dermascreen.tables import read_table, write_table


def main() -> None:
    with stage("train") as run:
        params = run.params
        images = Images.open(PROCESSED)
        splits = read_table(SPLITS, ["path", "label", "split"], ["train", "val"])

        def part(name: str) -> Split:
            rows = splits[splits["split"].eq(name)]
            run.tracking.log_dataset(rows, name, run.fingerprint(), name)
            return Split(images.pixels, images.rows(rows["path"]), rows["label"].to_numpy())

        def on_epoch(epoch: Epoch) -> None:
            run.tracking.log_metrics(epoch, step=int(epoch["epoch"]))
            print("  ".join(f"{name} {value:.4g}" for name, value in epoch.items()), flush=True)

        torch.manual_seed(params.seed)
        network = build(params.model, params.preprocess.image_size)
        checkpoints = project_root() / CACHE / "checkpoints" / run.fingerprint("seed", "model", "train")
        history = fit(
            network, part("train"), part("val"), params.train,
            seed=params.seed, checkpoints=checkpoints, on_epoch=on_epoch,
        )  # fmt: skip

        if not run.leads:
            return
        save(network, WEIGHTS, MODEL)
        write_table(pd.DataFrame(history), PLOTS / "train" / "curves.csv")
        for path in (MODEL, PLOTS / "train"):
            run.tracking.log_artifact(path)
        run.write_metrics({"weights": params.model.weights, **summarise(history)})
        shutil.rmtree(checkpoints)


if __name__ == "__main__":
    main()
