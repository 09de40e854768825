"""Train the network on the training images and keep the epoch with the best val AUC."""

import itertools
import time

import pandas as pd
import torch

from dermascreen.artifacts.dataset.images import PROCESSED, Images
from dermascreen.artifacts.dataset.splits import TRAIN, VAL, Splits
from dermascreen.artifacts.model.description import WEIGHTS, Description
from dermascreen.artifacts.model.exported import EXPORTED
from dermascreen.artifacts.results.curves import curve_file
from dermascreen.core.files import CACHE
from dermascreen.core.stage import project_root, stage
from dermascreen.core.tables import write_table
from dermascreen.core.tracking.run import CHECKPOINTS
from dermascreen.network.backbones import check_sizes
from dermascreen.network.export import export, require_export
from dermascreen.network.layers import require_maps
from dermascreen.network.model import build, load_model, save
from dermascreen.network.weights import in_words
from dermascreen.training.batches import Split
from dermascreen.training.fit import fit, summarise
from dermascreen.training.module import Epoch
from dermascreen.training.trainer import resolve_precision
from dermascreen.training.turns import discard, locked


def main() -> None:
    with stage("train") as run:
        params = run.params
        images, splits = Images.open(), Splits.read(splits=[TRAIN, VAL])

        def part(name: str) -> Split:
            photographs = splits.part(name)
            run.log_dataset(photographs.to_frame(), name, PROCESSED, Splits.PATH)
            return Split(images.pixels, images.rows(photographs.path), photographs.label)

        def on_epoch(epochs: list[Epoch]) -> None:
            epoch = epochs[-1]
            write_table(pd.DataFrame(epochs), curves)
            run.show({"epoch": int(epoch["epoch"]), "epoch_val_auc": epoch["val_roc_auc"]})
            run.mark_step(int(epoch["epoch"]))
            run.tracking.log_metrics({f"training/{name}": value for name, value in epoch.items()}, int(epoch["epoch"]))
            left = (time.monotonic() - began) / next(done) * (params.train.epochs - 1 - epoch["epoch"])
            numbers = "  ".join(f"{name} {value:.4g}" for name, value in epoch.items())
            print(f"{numbers}  (about {left / 60:.1f} min left, if all epochs are run)", flush=True)

        curves = curve_file("train", "curves")
        torch.manual_seed(params.seed)
        network = build(params.model, params.preprocess)
        require_maps(network, params.explain)
        require_export(network)
        check_sizes(network.about, params.model.architecture, params.train.image_sizes)
        precision = resolve_precision(params.train.precision, network)
        print(f"train: {in_words(network.description)}; precision {precision}", flush=True)
        if splits.chooses_epoch != VAL:
            print(
                f"train: the epoch is chosen on {splits.chooses_epoch}, which the columns called val describe",
                flush=True,
            )
        checkpoints = project_root() / CACHE / "checkpoints" / run.fingerprint("seed", "model", "train")
        run.tracking.log_tags({CHECKPOINTS: checkpoints.name})
        lock = locked(checkpoints) if run.leads else None  # held until this process ends
        began, done = time.monotonic(), itertools.count(1)
        fitted = fit(
            network, part(TRAIN), part(splits.chooses_epoch), params.train,
            seed=params.seed, checkpoints=checkpoints, on_epoch=on_epoch,
        )  # fmt: skip

        if not run.leads:
            return
        run.clear_step()
        EXPORTED.unlink(missing_ok=True)  # that of other weights
        save(network)
        print("train: writes the network as ONNX, as which it predicts, and compares the two", flush=True)
        export(load_model(), weights=WEIGHTS, description=Description.PATH)  # what was saved, of which maps are made
        write_table(pd.DataFrame(fitted.epochs), curves)
        for path in (Description.PATH, curves.parent):
            run.tracking.log_artifact(path)
        run.tracking.log_metrics({"training/seconds": fitted.seconds})
        run.report(summarise(fitted, network.description), {"seconds": round(fitted.seconds, 1)})
    discard(checkpoints, lock)  # now that nothing is left to do that can be interrupted


if __name__ == "__main__":
    main()
