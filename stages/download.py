"""Fetch the photographs, verify every one and list them."""

from dermascreen.artifacts.dataset.manifest import RAW, Manifest
from dermascreen.artifacts.dataset.metadata import Metadata
from dermascreen.artifacts.dataset.splits import TEST
from dermascreen.core.files import CACHE
from dermascreen.core.stage import project_root, stage
from dermascreen.data.sources.fetch import fetch, in_words, summarise


def main() -> None:
    with stage("download") as run:
        stored = fetch(run.params.data, project_root() / CACHE / "downloads", RAW, Manifest.PATH, Metadata.PATH)
        for sentence in in_words(stored, run.name):
            print(sentence)
        if TEST not in stored.manifest.source_split and run.params.split.protocol != "grouped":
            print("There is no test set, so split.protocol has to be grouped.")
        run.report(summarise(stored))


if __name__ == "__main__":
    main()
