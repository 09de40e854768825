"""Group the photographs that show the same lesion, and keep the evidence for each pair."""

from dermascreen.artifacts.dataset.lesions import AUDIT_PAGE, Lesions, Pairs
from dermascreen.artifacts.dataset.manifest import RAW, Manifest
from dermascreen.core.files import write_text
from dermascreen.core.stage import stage
from dermascreen.data.lesions.page import render_audit
from dermascreen.data.lesions.pairs import find_pairs, join, summarise


def main() -> None:
    with stage("audit") as run:
        manifest = Manifest.read()
        pairs = find_pairs(RAW, manifest.path, manifest.sha256, run.params.audit)
        lesions = Lesions(manifest.path, join(manifest.path, pairs))
        pairs.write()
        lesions.write()
        details = summarise(manifest, lesions, pairs)
        write_text(render_audit(RAW, manifest, pairs, details), AUDIT_PAGE)
        if details.label_conflicts:
            print(f"Lesions that carry both labels: {details.label_conflicts}; {AUDIT_PAGE} shows their photographs.")
        run.report(details)
        run.tracking.log_artifact(Pairs.PATH)


if __name__ == "__main__":
    main()
