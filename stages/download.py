"""Fetch the photographs, verify every one and list them."""

from dermascreen.images.sources import fetch, summarise
from dermascreen.pipeline import CACHE, MANIFEST, RAW, project_root, stage


def main() -> None:
    with stage("download") as run:
        manifest = fetch(run.params.data, project_root() / CACHE / "downloads", RAW, MANIFEST)
        run.write_metrics(summarise(manifest))


if __name__ == "__main__":
    main()
