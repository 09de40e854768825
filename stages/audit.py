"""Group the photographs that show the same lesion, and keep the evidence for each pair."""

from dermascreen.artifacts.dataset.lesions import AUDIT_PAGE, Lesions, Pairs
from dermascreen.artifacts.dataset.manifest import RAW, Manifest
from dermascreen.artifacts.dataset.metadata import Metadata
from dermascreen.artifacts.dataset.reviews import Reviews
from dermascreen.core.files import write_text
from dermascreen.core.stage import stage
from dermascreen.data.lesions.page import render_audit
from dermascreen.data.lesions.pairs import contradictions, find_pairs, join, number_patients, summarise
from dermascreen.data.lesions.reviews import kept_apart, overrule, said_same, settle, unmatched


def main() -> None:
    with stage("audit") as run:
        manifest, metadata = Manifest.read(), Metadata.read()
        declared = metadata.at(manifest.path)
        reviews = Reviews.read()
        found = find_pairs(
            RAW,
            manifest.path,
            manifest.sha256,
            manifest.label,
            run.params.audit,
            declared=declared["lesion"],
            apart=kept_apart(manifest.sha256, reviews),
        )
        settled, unconfirmed = settle(found, manifest.path, manifest.sha256)
        pairs, rejected = overrule(settled, manifest.path, manifest.sha256, reviews)
        lesion = join(manifest.path, pairs)
        lesions = Lesions(manifest.path, lesion, number_patients(lesion, declared["patient"]))
        pairs.write()
        lesions.write()
        details = summarise(manifest, lesions, metadata, pairs, rejected)
        against = contradictions(lesions, metadata, pairs)
        against["reviewed"] = said_same(pairs, manifest, reviews)
        write_text(render_audit(RAW, manifest, pairs, against, details), AUDIT_PAGE)
        if unconfirmed is not None:
            print(
                "The pairs of this data set were looked at by eye and ship with dermascreen. Besides them, "
                f"{len(unconfirmed)} were found here, and not joined."
            )
        for what, count in (
            ("Lesions that carry both labels", details.label_conflicts),
            ("Lesions of several patients", details.patient_conflicts),
            (f"Pairs that {Reviews.PATH} keeps apart and other pairs join", details.rejected_but_joined),
            ("Pairs whose lesions have different names in the data set's table", details.pairs_kept_apart),
        ):
            if count:
                print(f"{what}: {count}; {AUDIT_PAGE} shows their photographs.")
        if elsewhere := unmatched(manifest.sha256, reviews):
            print(f"Verdicts in {Reviews.PATH} on photographs that are not here: {elsewhere}.")
        run.report(details)
        run.tracking.log_artifact(Pairs.PATH)


if __name__ == "__main__":
    main()
