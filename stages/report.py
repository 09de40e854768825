"""Put all results on one page, and in a model card."""

from dermascreen.files import read_json, replacing
from dermascreen.pipeline import EXPLAIN, MANIFEST, METRICS, MODEL_CARD, PLOTS, PREDICTIONS, REPORT, SHORTCUTS, stage
from dermascreen.report.card import render_card
from dermascreen.report.dataset import is_kaggles
from dermascreen.report.figures import draw, svg
from dermascreen.report.page import render
from dermascreen.report.pictures import read_pictures
from dermascreen.report.reproduction import reproduction
from dermascreen.tables import read_table

SHOWN = ("audit", "split", "train", "evaluate", "threshold", "shortcuts", "external", "explain")
PREDICTED = ["split", "label", "lesion", "probability", "calibrated_probability"]


def main() -> None:
    with stage("report") as run:
        metrics = {name: read_json(METRICS / f"{name}.json") for name in SHOWN}
        predictions = read_table(PREDICTIONS, PREDICTED, ["val", "test"])
        scores = read_table(SHORTCUTS, ["label", *metrics["shortcuts"]["baselines"]])
        benefit = read_table(PLOTS / "threshold" / "decision_curve_test.csv", ["threshold", "model", "treat_all"])
        pictures = read_pictures(EXPLAIN)
        again = reproduction(run.params.model_dump(exclude={"tracking"}), run.inputs)
        kaggles = is_kaggles(again.params["data"], read_table(MANIFEST, ["sha256"])["sha256"])

        draws, seed = run.params.evaluate.bootstrap_draws, run.params.seed
        drawn = draw(predictions, scores, benefit, metrics, draws=draws, seed=seed)
        figures = {name: svg(name, figure) for name, figure in drawn.items()}
        page = render(metrics, figures, benefit, pictures, again, kaggles=kaggles)
        for path, text in {REPORT: page, MODEL_CARD: render_card(metrics, again, kaggles=kaggles)}.items():
            with replacing(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
            run.tracking.log_artifact(path)
        run.write_metrics({"figures": len(figures), "pictures": len(pictures), "page_kib": len(page.encode()) // 1024})


if __name__ == "__main__":
    main()
