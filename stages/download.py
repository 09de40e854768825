"""Fetch the photographs, verify every one and list them."""

from dermascreen.images.sources import fetch, in_words, summarise
from dermascreen.pipeline import CACHE, MANIFEST, RAW, project_root, stage


def main() -> None:
    with stage("download") as run:
        stored = fetch(run.params.data, project_root() / CACHE / "downloads", RAW, MANIFEST)
        for sentence in in_words(stored, run.name):
            print(sentence)
        if not stored.manifest["source_split"].eq("test").any():
            print("There is no test folder, so split.protocol has to be grouped.")
        run.write_metrics(summarise(stored))


if __name__ == "__main__":
    main()
