"""Apply the frozen model, temperature and operating points to photographs of other clinics, if there are any."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dermascreen.errors import ClinicError
from dermascreen.evidence.calibration import calibrate, read_temperature
from dermascreen.evidence.external import FEWEST, Sample, report_clinic
from dermascreen.files import read_json
from dermascreen.images.arrays import Images, decode
from dermascreen.images.external import list_clinics, mark_known
from dermascreen.images.layouts import count_left_out
from dermascreen.images.sources import in_words, unpack
from dermascreen.model.inference import predict_logits
from dermascreen.model.network import load_model
from dermascreen.pipeline import (
    CALIBRATION,
    MANIFEST,
    MODEL,
    OPERATING_POINTS,
    PREDICTIONS,
    RAW,
    SPLITS,
    WEIGHTS,
    stage,
)
from dermascreen.tables import align, read_table


def main() -> None:
    with stage("external") as run:
        params = run.params
        clinics: dict[str, Any] = {}
        for name, archive in list_clinics(Path(params.evaluate.external)).items():
            splits = read_table(SPLITS, ["path", "split"])
            trained = splits.loc[splits["split"].isin(["train", "val"]), "path"]
            own = align(read_table(MANIFEST, ["path", "sha256"]), trained, MANIFEST)
            table = read_table(PREDICTIONS, ["split", "label", "lesion", "calibrated_probability"], ["test"])
            test = table[table["split"].eq("test")]
            internal = Sample(*(test[column].to_numpy() for column in ("label", "calibrated_probability", "lesion")))
            points, temperature = read_json(OPERATING_POINTS), read_temperature(CALIBRATION)
            thresholds = {name: points.number(name, "threshold") for name in points if name != "abstention"}
            with TemporaryDirectory() as folder:
                raw, decoded = Path(folder) / "raw", Path(folder) / "decoded"
                stored = unpack(archive, raw, params.data.max_unpacked_gib)
                for sentence in in_words(stored, run.name):
                    print(f"{name}: {sentence}")
                listed = mark_known(raw, stored.manifest, RAW, own, params.audit)
                used = listed[~listed["known"]]
                benign, malignant = (int(used["label"].eq(label).sum()) for label in (0, 1))
                if min(benign, malignant) < FEWEST:
                    raise ClinicError(archive, benign, malignant, FEWEST)
                decode(raw, used["path"].tolist(), params.preprocess.image_size, decoded)
                images = Images.open(decoded)
                rows = images.rows(used["path"])
                logit = predict_logits(load_model(WEIGHTS, MODEL), images.pixels, rows, params.evaluate.tta)
            probability = calibrate(logit, temperature)
            clinic = Sample(used["label"].to_numpy(), probability, used["lesion"].to_numpy())
            draws = params.evaluate.bootstrap_draws
            clinics[name] = {
                "images": len(listed),
                "left_out": count_left_out(stored.left_out),
                "excluded_training_lesions": int(listed["known"].sum()),
                "used": len(used),
                **report_clinic(clinic, internal, thresholds, draws=draws, seed=params.seed),
            }
        run.write_metrics({"clinics": clinics})


if __name__ == "__main__":
    main()
