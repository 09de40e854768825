"""Show what the network looked at on some test images, and put the results on one page."""

import numpy as np
from tqdm import tqdm

from dermascreen.explanation.gradcam import explain
from dermascreen.explanation.selection import select
from dermascreen.files import read_json, read_table, replacing
from dermascreen.images.arrays import Images
from dermascreen.model.network import load_model
from dermascreen.pipeline import EXPLAIN, METRICS, MODEL, OPERATING_POINTS, PREDICTIONS, PROCESSED, WEIGHTS, stage
from dermascreen.report.figures import overlay, save_figures, save_image
from dermascreen.report.page import Picture, render


def main() -> None:
    with stage("explain") as run:
        params = run.params
        points = read_json(OPERATING_POINTS)
        thresholds = {name: point["threshold"] for name, point in points.items()}
        predictions = read_table(PREDICTIONS, ["path", "split", "label", "probability"])
        test = predictions[predictions["split"].eq("test")]
        chosen = select(test, thresholds["high_recall"], params.explain.images, params.seed)
