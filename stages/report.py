"""Put all results on one page, and in a model card."""

from dermascreen.artifacts.dataset.kaggle import is_kaggles
from dermascreen.artifacts.dataset.manifest import Manifest
from dermascreen.artifacts.dataset.splits import TEST, VAL
from dermascreen.artifacts.model.files import MODEL_CARD
from dermascreen.artifacts.results.curves import DecisionCurve, TrainingCurves
from dermascreen.artifacts.results.details.report import ReportDetails
from dermascreen.artifacts.results.predictions import Predictions
from dermascreen.artifacts.results.shortcuts import ShortcutScores
from dermascreen.core.files import write_text
from dermascreen.core.stage import stage
from dermascreen.report.card import render_card
from dermascreen.report.figures import draw, svg
from dermascreen.report.page import REPORT, render
from dermascreen.report.pictures import read_pictures
from dermascreen.report.reproduction import reproduction
from dermascreen.report.results import Results


def main() -> None:
    with stage("report") as run:
        results, predictions = Results.read(), Predictions.read(splits=[VAL, TEST])
        benefit, pictures = DecisionCurve.read(), read_pictures()
        again = reproduction(run.params, run.inputs)
        kaggles = is_kaggles(run.params.data, Manifest.read().sha256)

        draws, seed = run.params.evaluate.bootstrap_draws, run.params.seed
        shortcuts, training = ShortcutScores.read(), TrainingCurves.read()
        drawn = draw(results, predictions, shortcuts, benefit, training, draws=draws, seed=seed)
        figures = {name: svg(name, figure) for name, figure in drawn.items()}
        page = render(results, figures, benefit, pictures, again, kaggles=kaggles)
        for path, text in {REPORT: page, MODEL_CARD: render_card(results, again, kaggles=kaggles)}.items():
            write_text(text, path)
            run.tracking.log_artifact(path)
        run.report(ReportDetails(figures=len(figures), pictures=len(pictures), page_kib=len(page.encode()) // 1024))


if __name__ == "__main__":
    main()
