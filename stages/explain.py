"""Draw maps of some test images, and check on test images drawn at random whether to believe maps."""

import numpy as np
from tqdm import tqdm

from dermascreen.artifacts.dataset.images import Images
from dermascreen.artifacts.dataset.splits import TEST
from dermascreen.artifacts.model.explanation import Explanation
from dermascreen.artifacts.model.exported import EXPORTED
from dermascreen.artifacts.results.pictures import PICTURES, Pictures
from dermascreen.artifacts.results.predictions import Predictions
from dermascreen.core.files import replacing
from dermascreen.core.hashes import sha256_of
from dermascreen.core.stage import stage
from dermascreen.explanation.drawing import marked, save_image
from dermascreen.explanation.faithfulness import check
from dermascreen.explanation.gradcam import explain, kind_of, summarise
from dermascreen.explanation.maps import frame_energy
from dermascreen.explanation.selection import draw, select
from dermascreen.network.model import load_model
from dermascreen.prediction.forward import embed
from dermascreen.prediction.predictor import Predictor

NEAR = ("near_benign", "near_malignant")


def main() -> None:
    with stage("explain") as run:
        params, seed, batch_size = run.params.explain, run.params.seed, run.params.evaluate.batch_size
        test = Predictions.read(splits=[TEST]).part(TEST)
        predictor = Predictor()
        called = predictor.points.flags(test.probability)
        signs = np.where(called, 1.0, -1.0)
        shown, checked = select(test, called, params.images, seed), draw(test, params.checked, seed)
        images, network = Images.open(), load_model()
        kind = kind_of(params, network)

        chosen = test[shown.rows]
        rows = images.rows(chosen.path)
        reference = predictor.reference
        distances = reference.distances(embed(predictor.network, images.pixels, rows))
        names = [f"images/{number:03}" for number in range(len(chosen))]
        maps = explain(network, kind, images.pixels, rows, signs[shown.rows], batch_size=batch_size)
        energies: list[float | None] = []
        with replacing(PICTURES) as folder:
            (folder / "images").mkdir(parents=True)
            every = zip(names, rows, maps, strict=True)
            for name, row, (values, flat) in tqdm(every, "explain", len(rows), unit="image", disable=None):
                save_image(images.pixels[row], folder / f"{name}.png")
                save_image(marked(images.pixels[row], values), folder / f"{name}-map.png")
                energies.append(None if flat else frame_energy(values))
            for label, near in enumerate(NEAR):
                paths = [reference.nearest(one, label, 1)[0].path for one in distances]
                for name, row in zip(names, images.rows(paths), strict=True):
                    save_image(images.pixels[row], folder / f"{name}-{near}.png")
            files = {
                "image": ".png", "overlay": "-map.png", **{near: f"-{near}.png" for near in NEAR},
            }  # fmt: skip
            Pictures(
                chosen.path, chosen.label, chosen.probability, chosen.low, chosen.high, shown.outcomes,
                **{key: np.array([name + end for name in names], dtype=object) for key, end in files.items()},
                flat=np.array([energy is None for energy in energies]),
            ).write(folder / Pictures.PATH.name)  # fmt: skip

        pixels = images.pixels[images.rows(test.path[checked])]
        believable = check(network, kind, pixels, signs[checked], seed=seed, batch_size=batch_size)
        Explanation(
            **kind._asdict(), checks=list(believable.checks), failed=list(believable.failed),
            network=sha256_of(EXPORTED),
        ).write()  # fmt: skip
        run.report(summarise(kind, energies, shown.outcomes.tolist(), pixels.shape[1:3], believable))
        run.tracking.log_artifact(PICTURES)


if __name__ == "__main__":
    main()
