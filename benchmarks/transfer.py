"""What a recipe is worth on the real images: many trainings, on one machine, from one table of runs.

`python benchmarks/transfer.py benchmarks/transfer.json --data FOLDER --out FOLDER` trains each run with the recipe and
its changes, and where it says `predict`, predicts val and test as stage evaluate does, and every site in FOLDER/sites.
The predictions.csv of a run is what `dermascreen compare` and `dermascreen pool` read. It needs no DVC and no MLflow,
so it runs where only the network's packages are, such as on a machine with a GPU.

`--gather PROJECT` makes FOLDER from a project in which `dvc repro split` has run: raw/, manifest.csv, metadata.csv and
lesions.csv, and for each site in its evaluate.external a folder sites/NAME of photographs with sites/NAME.csv: path,
label, lesion, known, and what the site's own tables say. A run has a name, a seed and changes, which are parameters by
their dotted names, of the params.yaml of the current folder, by which the images are also split; `constant` makes
colours constant, `maps` lists layers whose maps are checked.
Images are predicted in batches, and not one at a time as the stages do, so logits differ from theirs in the last bits.

With --baselines, nothing is trained: the models that do not see the lesion are compared with the runs official-* in
--out. With --strata, neither: these runs' AUC at each site by hospital and, against all benign images, by diagnosis,
if the site's table has such columns.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score

from dermascreen.artifacts.dataset.images import ARRAY, Images, write_pixels
from dermascreen.artifacts.dataset.lesions import Lesions
from dermascreen.artifacts.dataset.manifest import RAW, Manifest
from dermascreen.artifacts.dataset.metadata import Metadata
from dermascreen.artifacts.dataset.splits import SELECTION, TEST, TRAIN, VAL, Splits
from dermascreen.artifacts.model.calibration import ProbabilityIntervals
from dermascreen.artifacts.results.predictions import Predictions
from dermascreen.artifacts.results.shortcuts import REENCODED
from dermascreen.core.files import replacing
from dermascreen.core.params import Params, PreprocessParams, read_params, with_changes
from dermascreen.data.cues import file_cues, interventions, pixel_cues
from dermascreen.data.photographs.decode import decode
from dermascreen.data.splits import split_images
from dermascreen.evidence.calibration import fit_temperature, probability_intervals, with_interval
from dermascreen.evidence.intervals import auc_interval, compare_aucs
from dermascreen.evidence.metrics import at_threshold, classification_metrics
from dermascreen.evidence.shortcuts import baseline_scores
from dermascreen.evidence.thresholds import choose_points
from dermascreen.explanation.faithfulness import check
from dermascreen.explanation.maps import MapKind
from dermascreen.explanation.selection import draw
from dermascreen.network.inference import as_input
from dermascreen.network.inference import prepare as for_inference
from dermascreen.network.model import Network, build, save
from dermascreen.network.pixels import symmetries
from dermascreen.prediction.forward import sigmoid
from dermascreen.training.batches import Split
from dermascreen.training.fit import fit


def constant(pixels: np.ndarray) -> np.ndarray:
    """Colour constancy: each channel scaled so that its Minkowski mean, p = 6, is grey (Finlayson and Trezzi 2004)."""
    values = pixels.astype(np.float32) / 255
    light = (values**6).mean((1, 2), keepdims=True) ** (1 / 6)
    light /= np.linalg.norm(light, axis=-1, keepdims=True)
    return ((values / (light * 3**0.5)).clip(0, 1) * 255).round().astype(np.uint8)


def gather(data: Path) -> None:
    """Copy the photographs and tables of the project in this folder, and unpack its sites."""
    from dermascreen.data.sites import find_known, list_sites  # noqa: PLC0415 - not there where networks are trained
    from dermascreen.data.sources.fetch import unpack  # noqa: PLC0415

    params = read_params()
    shutil.copytree(RAW, data / "raw")
    for path in (Manifest.PATH, Metadata.PATH, Lesions.PATH):
        shutil.copyfile(path, data / path.name)
    own = Manifest.read().at(Splits.read().part(TRAIN, SELECTION, VAL, TEST).path)
    for site, archive in list_sites(Path(params.evaluate.external)).items():
        folder = data / "sites" / site
        folder.parent.mkdir(exist_ok=True)
        stored = unpack(archive, folder, params.data.max_unpacked_gib)
        found = find_known(folder, stored.manifest, stored.metadata, own, params.audit)
        about = stored.metadata.frame.drop(columns=["lesion", "patient"])
        table = pd.DataFrame({"path": stored.manifest.path, "label": stored.manifest.label})
        table = table.assign(lesion=found.lesion, known=found.known).merge(about, on="path")
        table.to_csv(folder.with_suffix(".csv"), index=False)


def prepare(data: Path, inputs: list[PreprocessParams], *, constancy: bool) -> None:
    """Decode everything once for each size."""
    places = [(data / "raw", Manifest.read(data / "manifest.csv").path, "own")]
    for table in sorted((data / "sites").glob("*.csv")):
        paths = pd.read_csv(table).query("not known")["path"].to_numpy(dtype=object)
        places.append((table.with_suffix(""), paths, table.stem))
    for made in inputs:
        for root, paths, name in places:
            folder = data / f"arrays-{made.image_size}" / name
            if not folder.exists():
                decode(root, paths, made, folder)
            if name == "own" and not (other := folder.with_name(REENCODED)).exists():
                saved = interventions(root, Images.open(folder), made, np.zeros(3, np.uint8))[REENCODED]
                with replacing(other) as temporary:
                    temporary.mkdir()
                    write_pixels(temporary / ARRAY, paths, made.image_size, saved)
                    shutil.copyfile(folder / "index.csv", temporary / "index.csv")
            if constancy and not (other := data / f"arrays-{made.image_size}-constant" / name).exists():
                other.mkdir(parents=True)
                pixels = np.load(folder / "images.npy")
                np.save(other / "images.npy", np.concatenate([constant(part) for part in np.array_split(pixels, 20)]))
                (other / "index.csv").write_bytes((folder / "index.csv").read_bytes())


def split(data: Path, params: Params) -> Splits:
    images, lesions = Manifest.read(data / "manifest.csv"), Lesions.read(data / "lesions.csv")
    return split_images(images, lesions, Metadata.read(data / "metadata.csv"), params.split)


@torch.inference_mode()
def logits_of(network: Network, images: Images, paths: Any, tta: bool) -> np.ndarray:  # noqa: ANN401
    """In torch, in batches, so other numbers in the last bits than `predict_logits`: what counts here is the time."""
    network, rows = for_inference(network), images.rows(paths)
    seen = []
    for part in np.array_split(rows, -(-len(rows) // 64)):
        shown = as_input(network, images.pixels[part])
        views = [*symmetries(shown)] if tta else [shown]
        seen.append(
            torch.stack([network(view.contiguous(memory_format=torch.channels_last)) for view in views]).mean(0)
        )
    return torch.cat(seen).cpu().numpy().astype(float)


def measure(run: dict[str, Any], params: Params, data: Path, out: Path) -> dict[str, Any]:
    """Train and predict once; leaves predictions of val, test and each site in out/NAME."""
    size = params.preprocess.image_size
    arrays = data / f"arrays-{size}{'-constant' if run.get('constant') else ''}"
    images = Images.open(arrays / "own")
    splits = split(data, params)
    parts = {name: splits.part(name) for name in (TRAIN, VAL, TEST)}
    torch.manual_seed(params.seed)
    network = build(params.model, params.preprocess)
    train, val = (Split(images.pixels, images.rows(parts[name].path), parts[name].label) for name in (TRAIN, VAL))
    began, folder = time.perf_counter(), out / run["name"]
    fitted = fit(
        network, train, val, params.train, seed=params.seed, checkpoints=folder / "checkpoints", on_epoch=lambda _: None
    )
    seconds = time.perf_counter() - began

    found: dict[str, Any] = {
        "name": run["name"], "seed": params.seed, "seconds": round(seconds, 1),
        "val_by_epoch": [round(row["val_roc_auc"], 4) for row in fitted.epochs],
    }  # fmt: skip
    if not run.get("predict"):
        return found
    tta = params.evaluate.tta
    shown = splits.part(VAL, TEST)
    logit = logits_of(network, images, shown.path, tta)
    in_val = shown.split == VAL
    known = shown.label[in_val], logit[in_val]
    temperature = fit_temperature(*known)
    table = ProbabilityIntervals.of(probability_intervals(*known)).to_frame()
    probability, low, high = with_interval(logit, temperature, table)
    predictions = Predictions(
        shown.path, shown.split, shown.label, shown.lesion, probability, logit, sigmoid(logit), low, high,
        patient=shown.patient,
    )  # fmt: skip
    predictions.write(folder / "predictions.csv")
    samples = {name: predictions.part(name).sample for name in (VAL, TEST)}
    points = choose_points(samples[VAL], params.threshold.target_recall, params.threshold.confidence, None)
    of_test = samples[TEST]
    at = at_threshold(of_test.label, of_test.probability, points.high_recall.threshold)
    found |= {
        "temperature": temperature, "guaranteed": points.high_recall.guaranteed,
        "specificity": at.specificity, "missed": at.confusion.fn,
        **{name: vars(classification_metrics(sample.label, sample.probability)) for name, sample in samples.items()},
        "low_high": vars(auc_interval(of_test.label, of_test.probability, of_test.clusters.patient)[1]),
    }  # fmt: skip
    if not run.get("constant"):
        again = logits_of(network, Images.open(arrays / REENCODED), parts[TEST].path, tta)
        fall = compare_aucs(of_test.label, predictions.part(TEST).logit, again, of_test.clusters.patient)
        found[REENCODED] = {"roc_auc": fall.second, "fall": fall._asdict()}
    for site in sorted((data / "sites").glob("*.csv")):
        there = pd.read_csv(site).query("not known")
        seen = logits_of(network, Images.open(arrays / site.stem), there["path"], tta)
        score, *_ = with_interval(seen, temperature, table)
        there.assign(logit=seen, probability=score).to_csv(folder / f"{site.stem}.csv", index=False)
        rates = at_threshold(there["label"].to_numpy(), score, points.high_recall.threshold)
        plain = classification_metrics(there["label"].to_numpy(), score)
        found[site.stem] = {"roc_auc": plain.roc_auc, "recall": rates.recall, "specificity": rates.specificity}
    if run.get("maps"):
        test = parts[TEST]
        checked = draw(predictions.part(TEST), params.explain.checked, params.seed)
        signs = np.where(points.flags(samples[TEST].probability)[checked], 1.0, -1.0)
        pixels = images.pixels[images.rows(test.path[checked])]
        found["maps"] = [
            {"layer": layer, "variant": variant, **failed_checks(network, MapKind(layer, variant), pixels, signs)}
            for layer in run["maps"]
            for variant in ("grad_cam", "hires_cam")
        ]
    if run.get("keep"):
        save(network, folder / "weights.safetensors", folder / "model.json")
    return found


def baselines(data: Path, out: Path, params: Params) -> None:
    """Print what models on cues alone reach on test and at each site, and what each official run adds to them."""
    folders = [folder for folder in sorted((data / "arrays-224").iterdir()) if folder.name != REENCODED]
    places = {folder.name: Images.open(folder) for folder in folders}
    images = places.pop("own")
    splits = split(data, params)
    train, test = splits.part(TRAIN), splits.part(TEST)
    runs = [Predictions.read(path).part(TEST) for path in sorted(out.glob("official-*/predictions.csv"))]
    paths = [*train.path, *test.path]
    cues: dict[str, Any] = {"file": file_cues(data / "raw", paths)}
    cues |= pixel_cues(images.pixels, images.rows(paths))._asdict()
    there = {name: pixel_cues(at.pixels, np.arange(len(at.paths)))._asdict() for name, at in places.items()}
    for name, values in cues.items():
        known, seen = np.asarray(values)[: len(train)], np.asarray(values)[len(train) :]
        score = baseline_scores(known, train.label, seen)
        print(name, round(roc_auc_score(test.label, score), 3), auc_interval(test.label, score, test.lesion)[1])
        for run in runs:
            print("  gain", compare_aucs(test.label, run.at(test.path).probability, score, test.lesion))
        for site, at in there.items():
            if name in at:
                table = pd.read_csv(data / f"sites/{site}.csv").set_index("path")
                label = table.loc[places[site].paths, "label"]
                print(
                    " ", site, round(roc_auc_score(label, baseline_scores(known, train.label, np.asarray(at[name]))), 3)
                )


def strata(data: Path, out: Path) -> None:
    """Print each official run's AUC at a site by hospital and by malignant diagnosis, and the median probabilities."""
    for table in sorted((data / "sites").glob("*.csv")):
        about = pd.read_csv(table).set_index("path").reindex(columns=["hospital", "diagnosis"])
        for path in sorted(out.glob(f"official-*/{table.name}")):
            seen = pd.read_csv(path).drop(columns=["hospital", "diagnosis"], errors="ignore").join(about, on="path")
            print(path.parent.name, table.stem, f"mean probability {seen['probability'].mean():.3f}")
            for hospital, part in seen.groupby("hospital"):
                print(f"  {hospital}, {len(part)}: AUC {roc_auc_score(part['label'], part['logit']):.3f}")
            benign = seen[seen["label"].eq(0)]
            for (label, diagnosis), part in seen.groupby(["label", "diagnosis"]):
                both = pd.concat([benign, part])
                auc = f", AUC {roc_auc_score(both['label'], both['logit']):.3f}" if label else ""
                print(f"  {diagnosis}, {len(part)}: median probability {part['probability'].median():.2f}{auc}")


def failed_checks(network: Network, kind: MapKind, pixels: np.ndarray, signs: np.ndarray) -> dict[str, Any]:
    """Which checks of the maps fail, and what each found."""
    found = check(network, kind, pixels, signs, seed=0, batch_size=32)
    return {"failed": found.failed, "values": {name: one.value for name, one in found.checks.items()}}


def plain(value: object) -> object:
    """What json cannot write by itself."""
    return value.item() if isinstance(value, np.generic) else vars(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=1, help="trainings at the same time")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="after these, no further run is begun")
    parser.add_argument("--baselines", action="store_true", help="compare official-* with models on cues alone")
    parser.add_argument("--strata", action="store_true", help="AUC of official-* by hospital and diagnosis")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--gather", type=Path, help="make --data from the project in this folder")
    given = parser.parse_args()
    if given.gather:
        given.data.mkdir(parents=True)
        data = given.data.resolve()
        with contextlib.chdir(given.gather):
            gather(data)
        return
    if given.strata:
        strata(given.data, given.out)
        return
    if given.baselines:
        base = with_changes(read_params(), {"preprocess.image_size": 224})
        prepare(given.data, [base.preprocess], constancy=False)
        baselines(given.data, given.out, base)
        return
    plan = json.loads(given.runs.read_text())
    runs = [run | {"changes": plan["recipe"] | run["changes"]} for run in plan["runs"]]
    if given.worker is None:
        base = read_params()
        inputs = [with_changes(base, run["changes"]).preprocess for run in runs]
        prepare(given.data, inputs, constancy=any(run.get("constant") for run in runs))
        command = [sys.executable, *sys.argv]
        workers = [subprocess.Popen([*command, "--worker", str(number)]) for number in range(given.jobs)]
        sys.exit(max(worker.wait() for worker in workers))
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // given.jobs))
    last = time.monotonic() + 60 * given.minutes
    for run in runs:
        if time.monotonic() > last:
            break
        claim = given.out / run["name"]
        try:
            claim.mkdir(parents=True)  # by the first worker that comes
        except FileExistsError:
            continue
        params = with_changes(read_params(), {"seed": run.get("seed", 0), **run["changes"]})
        found = measure(run, params, given.data, given.out)
        (claim / "found.json").write_text(json.dumps(found, default=plain))
        print(f"{run['name']}: {found['seconds']} s, val {max(found['val_by_epoch']):.4f}", flush=True)


if __name__ == "__main__":
    main()
