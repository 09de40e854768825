"""Apply the frozen model, temperature and operating points to photographs of other sites, if there are any."""

from pathlib import Path
from tempfile import TemporaryDirectory

from dermascreen.artifacts.dataset.images import Images
from dermascreen.artifacts.dataset.manifest import Manifest
from dermascreen.artifacts.dataset.splits import SELECTION, TEST, TRAIN, VAL, Splits
from dermascreen.artifacts.results.details.evaluation import ExternalDetails, SiteDetails
from dermascreen.artifacts.results.predictions import Predictions
from dermascreen.core.errors import SiteError
from dermascreen.core.stage import Stage, stage
from dermascreen.data.photographs.decode import decode
from dermascreen.data.sites import find_known, list_sites
from dermascreen.data.sources.fetch import in_words, unpack
from dermascreen.data.sources.layouts import count_left_out
from dermascreen.evidence.clusters import Clusters
from dermascreen.evidence.external import report_site
from dermascreen.evidence.metrics import FEWEST_FOR_AUC
from dermascreen.evidence.sample import Sample


def main() -> None:
    with stage("external") as run:
        archives = list_sites(Path(run.params.evaluate.external))
        run.report(ExternalDetails(sites={name: measure(name, archive, run) for name, archive in archives.items()}))


def measure(name: str, archive: Path, run: Stage) -> SiteDetails:
    """What the frozen model does at one site."""
    from dermascreen.prediction.predictor import Predictor  # noqa: PLC0415 - slow, and by default there is no site

    params, predictor = run.params, Predictor()
    own = Manifest.read().at(Splits.read().part(TRAIN, SELECTION, VAL, TEST).path)
    internal = Predictions.read(splits=[TEST]).part(TEST).sample
    with TemporaryDirectory() as folder:
        raw, decoded = Path(folder) / "raw", Path(folder) / "decoded"
        stored = unpack(archive, raw, params.data.max_unpacked_gib)
        for sentence in in_words(stored, run.name):
            print(f"{name}: {sentence}")
        found = find_known(raw, stored.manifest, stored.metadata, own, params.audit)
        used, clusters = stored.manifest[~found.known], Clusters(found.lesion, found.patient)[~found.known]
        benign, malignant = (int((used.label == label).sum()) for label in (0, 1))
        if min(benign, malignant) < FEWEST_FOR_AUC:
            raise SiteError(archive, benign, malignant, FEWEST_FOR_AUC)
        decode(raw, used.path, predictor.description.preprocess, decoded)
        images = Images.open(decoded)
        logits = predictor.logits(images.pixels, images.rows(used.path))
    site = Sample(used.label, predictor.probabilities(logits).probability, clusters)
    draws, seed = params.evaluate.bootstrap_draws, params.seed
    report = report_site(site, internal, predictor.points.thresholds, draws=draws, seed=seed)
    left_out = count_left_out(stored.left_out)
    return SiteDetails.of(report, images=len(stored.manifest), left_out=left_out, used=len(used))


if __name__ == "__main__":
    main()
