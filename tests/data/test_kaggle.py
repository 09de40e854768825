"""The real Kaggle client against a server of our own."""

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from dermascreen.artifacts.dataset.manifest import Manifest
from dermascreen.core.errors import DownloadError
from dermascreen.core.params import DataParams, SyntheticParams
from dermascreen.data.sources.fetch import KNOWN_LAYOUTS, fetch
from dermascreen.data.sources.kaggle import downloaded

SLUG = "somebody/lesions"
TOKEN = "a-token-nobody-may-see"  # noqa: S105  # of nobody
MIB = 2**20  # the client writes so much at a time
FILE = bytes(range(256)) * (5 * MIB // 512)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def from_kaggle(target: Path) -> Callable[[], Manifest]:
    params = DataParams(
        source="kaggle", slug=SLUG, archive="unused", max_unpacked_gib=1.0, table=KNOWN_LAYOUTS,
        synthetic=SyntheticParams(images=16, size=32, seed=0),
    )  # fmt: skip
    return lambda: (
        fetch(params, target / "cache", target / "raw", target / "manifest.csv", target / "metadata.csv").manifest
    )


def test_the_archive_is_fetched_stored_and_deleted(kaggle, from_kaggle, target, images, make_zip) -> None:
    kaggle.file = make_zip(images | {f"data/{path}": content for path, content in images.items()}).read_bytes()
    assert from_kaggle().path.tolist() == sorted(images)
    assert {path: (target / "raw" / path).read_bytes() for path in images} == images
    assert [json.loads(slug) for slug in kaggle.slugs] == [{"ownerSlug": "somebody", "datasetSlug": "lesions"}]
    assert not [path for path in (target / "cache").rglob("*") if path.suffix != ".lock"]


def test_the_progress_is_shown_and_nothing_else(kaggle, tmp_path, capfd) -> None:
    kaggle.file = FILE
    with downloaded(SLUG, tmp_path):
        pass
    out, err = capfd.readouterr()
    assert out == ""
    assert "100%" in err


def test_a_download_that_breaks_goes_on_at_once(kaggle, tmp_path) -> None:
    kaggle.file, kaggle.sends = FILE, [MIB + 99, MIB + 7]
    with downloaded(SLUG, tmp_path) as archive:
        assert archive.read_bytes() == kaggle.file
    assert kaggle.ranges == [None, f"bytes={MIB}-", f"bytes={2 * MIB}-"]


def test_a_download_that_breaks_for_good_goes_on_at_the_next_run(kaggle, tmp_path) -> None:
    kaggle.file, kaggle.sends = FILE, [MIB + 99, 0, 0, 0, 0, 0]
    sentence = rf"failed .* {SLUG}; run the same command to continue"
    with pytest.raises(DownloadError, match=sentence), downloaded(SLUG, tmp_path):
        pytest.fail("nothing was downloaded")
    kaggle.ranges.clear()
    with downloaded(SLUG, tmp_path) as archive:
        assert archive.read_bytes() == kaggle.file
    assert kaggle.ranges == [None, f"bytes={MIB}-"]  # asked how large it is, then for the rest


def test_an_answer_that_is_not_the_rest_of_the_zip_is_not_kept(kaggle, tmp_path) -> None:
    kaggle.file, kaggle.sends, kaggle.expires = FILE, [MIB + 99], True
    with pytest.raises(DownloadError, match="not a complete zip and was deleted"), downloaded(SLUG, tmp_path):
        pytest.fail("nothing was downloaded")
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith("lesions")]


def test_a_whole_download_is_not_fetched_again_when_its_images_could_not_be_stored(kaggle, tmp_path) -> None:
    kaggle.file = b"zip"
    with pytest.raises(OSError, match="disk full"), downloaded(SLUG, tmp_path):
        raise OSError("disk full")
    kaggle.file = b"zap"  # as large and as old: to the client, the same file
    with downloaded(SLUG, tmp_path) as archive:
        assert archive.read_bytes() == b"zip"


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (401, r"credentials; renew the token in ~/\.kaggle/access_token or KAGGLE_API_TOKEN\.$"),
        (
            403,
            rf"does not let you download {SLUG}; sign in with `kaggle auth login` and accept the terms on its page\.$",
        ),
        (404, rf"has no data set {SLUG}; correct data\.slug\.$"),
        (429, r"wait some minutes and run the same command again\.$"),
        (503, r"answers with HTTP status 503; run the same command later\.$"),
    ],
)
def test_each_refusal_is_a_sentence(kaggle, from_kaggle, target, status: int, sentence: str) -> None:
    kaggle.status = status
    with pytest.raises(DownloadError, match=sentence):
        from_kaggle()
    assert [path.name for path in target.iterdir()] == ["cache"]


def test_no_message_shows_the_token(kaggle, tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    kaggle.status = 403
    with pytest.raises(DownloadError) as caught, downloaded(SLUG, tmp_path):
        pytest.fail("nothing was downloaded")
    assert set(kaggle.tokens) == {f"Bearer {TOKEN}"}
    assert TOKEN not in str(caught.value) + "".join(capfd.readouterr())


def test_without_credentials_a_refusal_is_the_same_sentence(kaggle, tmp_path) -> None:
    kaggle.status = 401
    with pytest.raises(DownloadError, match="does not accept these credentials"), downloaded(SLUG, tmp_path):
        pytest.fail("nothing was downloaded")
    assert kaggle.tokens == [None]


def test_a_broken_download_shows_no_signed_address(kaggle, tmp_path, capfd) -> None:
    kaggle.file, kaggle.sends = b"0123456789", [5, 0, 0, 0, 0, 0]
    with pytest.raises(DownloadError) as caught, downloaded(SLUG, tmp_path):
        pytest.fail("nothing was downloaded")
    assert "signature" not in str(caught.value) + "".join(capfd.readouterr())


@pytest.mark.usefixtures("kaggle")
def test_no_network(tmp_path, monkeypatch) -> None:
    from kagglesdk import kaggle_env  # noqa: PLC0415  # signs in as it is imported

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, f"http://127.0.0.1:{port}")
    with pytest.raises(DownloadError, match="network or Kaggle failed"), downloaded(SLUG, tmp_path):
        pytest.fail("nothing was downloaded")


@pytest.mark.parametrize("damage", ["garbage", "truncated", "one byte"])
def test_what_is_no_whole_zip_is_deleted_and_fetched_anew(kaggle, from_kaggle, images, make_zip, damage: str) -> None:
    whole = make_zip(images).read_bytes()
    flipped = whole[:200] + bytes([whole[200] ^ 255]) + whole[201:]
    kaggle.file = {"garbage": b"<html>" * 500, "truncated": whole[:-400], "one byte": flipped}[damage]
    with pytest.raises(DownloadError, match=rf"{SLUG} is not a complete zip and was deleted; run the same command"):
        from_kaggle()
    kaggle.file = whole
    assert len(from_kaggle()) == 8
