"""Group the photographs that show one lesion, and keep what speaks for each pair."""

import pandas as pd

from dermascreen.files import replacing
from dermascreen.images.lesions import find_pairs, join, summarise
from dermascreen.pipeline import AUDIT_PAGE, LESION_PAIRS, LESIONS, MANIFEST, RAW, stage
from dermascreen.report.audit import render_audit
from dermascreen.tables import read_table, write_table


def main() -> None:
    with stage("audit") as run:
        manifest = read_table(MANIFEST, ["path", "label", "source_split", "sha256"])
        pairs = find_pairs(RAW, manifest, run.params.audit)
        lesion = join(manifest["path"].tolist(), pairs)
        write_table(pairs, LESION_PAIRS)
        write_table(pd.DataFrame({"path": manifest["path"], "lesion": lesion}), LESIONS)
        metrics = summarise(manifest, lesion, pairs)
        with replacing(AUDIT_PAGE) as page:
            page.write_text(render_audit(RAW, manifest, pairs, metrics), encoding="utf-8")
        if conflicts := metrics["label_conflicts"]:
            print(f"Lesions that carry both labels: {conflicts}; {AUDIT_PAGE} shows their photographs.")
        run.write_metrics(metrics)
        run.tracking.log_artifact(LESION_PAIRS)


if __name__ == "__main__":
    main()
