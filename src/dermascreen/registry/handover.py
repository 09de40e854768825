"""What a registered model brings along for whoever answers for it: licences, a bill of materials, a signature."""

from pathlib import Path

from dermascreen.artifacts.dataset.kaggle import is_kaggles
from dermascreen.artifacts.dataset.manifest import Manifest
from dermascreen.artifacts.dataset.metadata import Metadata
from dermascreen.artifacts.model.description import WEIGHTS, Description, Start
from dermascreen.artifacts.model.exported import EXPORTED
from dermascreen.artifacts.model.files import MODEL_CARD
from dermascreen.core.files import write_text
from dermascreen.core.hashes import sha256_of
from dermascreen.core.params import Params
from dermascreen.experiments.workspace import ROOT
from dermascreen.registry.materials import CODE, MATERIALS, bill_of_materials, in_words, licence_of
from dermascreen.registry.signatures import key_of, sign
from dermascreen.report.card import Registration, render_registration
from dermascreen.report.wording import looks_of, signature_of, source_of

LOCK = ROOT / "requirements.lock"


def complete(bundle: Path, project: Path, params: Params, models_tested: int, private_key: Path | None) -> None:
    """Add to the files in `bundle`, of the model that the pipeline at `project` made, what a registered model has more.

    The card gets a last section, and MATERIALS and, with a key, a signature of all files join it.
    """
    manifest, description = Manifest.read(project / Manifest.PATH), Description.read(bundle / Description.PATH.name)
    start = description.start or Start.unrecorded(description.weights)
    photographs = source_of(params.data, is_kaggles(params.data, manifest.sha256))
    licences = Metadata.read(project / Metadata.PATH).licences
    section = render_registration(
        Registration(
            looks=looks_of(models_tested),
            signature=signature_of(key_of(private_key) if private_key is not None else None),
            code=in_words(licence_of(CODE)),
            start=start,
            photographs=photographs,
            licences=licences,
            bill=MATERIALS.name,
        )
    )
    card = bundle / MODEL_CARD.name
    write_text(card.read_text(encoding="utf-8").rstrip("\n") + "\n" + section, card)
    sha256 = sha256_of(bundle / WEIGHTS.name), sha256_of(bundle / EXPORTED.name)
    write_text(bill_of_materials(LOCK, sha256, start, photographs, licences), bundle / MATERIALS)
    if private_key is not None:
        sign(bundle, private_key)
