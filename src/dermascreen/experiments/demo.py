"""Run the real pipeline on synthetic lesions in a workspace of its own, and print what it found."""

import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd

from dermascreen.artifacts.results.details.evaluation import EvaluateDetails, ThresholdDetails
from dermascreen.evidence.point_reports import PointReport
from dermascreen.experiments.workspace import make_workspace, require_workspace, run_pipeline
from dermascreen.report.numbers import alarms, missed

SMALL = {
    "data.source": "synthetic",
    "data.synthetic.images": 560,  # so that val has the 59 malignant lesions that a guarantee of recall takes
    "split.val_fraction": 0.38,
    "preprocess.image_size": 96,
    "model.architecture": "tf_efficientnet_lite0",
    "model.weights": "packaged",
    "train.epochs": 3,
    "train.batch_size": 16,
    "train.backbone_lr_factor": 1.0,
    "train.ema": 0.95,
    "explain.images": 12,
    "explain.checked": 12,
}
# Without what DVC did when, and hashes of files: the numbers and the parameters alone.
COMPARE = "dvc exp show --only-changed --drop 'Created|State|Executor|.*/.*'"


def result_table(folder: Path) -> pd.DataFrame:
    """Sensitivity, specificity and missed cancers at each operating point, on val and test."""
    threshold = ThresholdDetails.read(folder / ThresholdDetails.PATH)
    evaluate = EvaluateDetails.read(folder / EvaluateDetails.PATH)
    rows = []
    for name in threshold.points.thresholds:
        point: PointReport = getattr(threshold, name)
        for split, at, auc in (("val", point.val, evaluate.val.roc_auc), ("test", point.test, evaluate.test.roc_auc)):
            rows.append(
                {
                    "operating point": name,
                    "threshold": point.threshold,
                    "split": split,
                    "ROC AUC": auc,
                    "sensitivity": at.recall,
                    "specificity": at.specificity,
                    "F1": at.f1,
                    "missed cancers": missed(at.confusion),
                    "false alarms": alarms(at.confusion),
                }
            )
    return pd.DataFrame(rows)


def demo(folder: Path) -> int:
    """`dermascreen demo`: run the pipeline in `folder`, and print the results and where they are."""
    folder = folder.resolve()
    require_workspace(folder)
    make_workspace(folder, SMALL)
    try:
        run_pipeline(folder)
    except subprocess.CalledProcessError:
        return 1  # dvc and the stage have said why
    print(
        "\nEfficientNet-Lite0, fine-tuned from ImageNet weights for a few epochs on lesions drawn by a program: the "
        "numbers say nothing about real lesions.\n"
    )
    print(result_table(folder).to_string(index=False, float_format="{:.3f}".format))
    programs = shlex.quote(str(Path(sys.executable).parent))
    print(f"\nReport:   {folder / 'reports/report.html'}")
    print(f"First:    cd {shlex.quote(str(folder))} && export PATH={programs}:$PATH")  # stages call python by its name
    print("Runs:     dermascreen ui")
    print("Next:     dvc exp run --name other -S train.lr=3e-3 && dermascreen compare other HEAD")
    print(f"Then:     {COMPARE}  # in a window of 200 columns")
    return 0
