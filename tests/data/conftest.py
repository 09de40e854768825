"""A data set to store and a Kaggle to fetch it from, on this machine only."""

import io
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FOLDERS = ("train/benign", "train/malignant", "test/benign", "test/malignant")


def draw(seed: int = 0, width: int = 10, height: int = 8) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def jpeg() -> Callable[..., bytes]:
    return draw


@pytest.fixture
def images() -> dict[str, bytes]:
    """Two images for each folder of Kaggle's layout, by path."""
    return {f"{folder}/{number}.jpg": draw(2 * i + number) for i, folder in enumerate(FOLDERS) for number in (1, 2)}


@pytest.fixture
def make_zip(tmp_path: Path) -> Callable[[Mapping[str, bytes]], Path]:
    return partial(write_zip, tmp_path / "archive.zip")


def write_zip(path: Path, entries: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[[Mapping[str, bytes]], Path]:
    return partial(write_folder, tmp_path / "folder")


def write_folder(folder: Path, entries: Mapping[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in entries.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(params=["zip", "folder"])
def make_archive(request: pytest.FixtureRequest) -> Callable[[Mapping[str, bytes]], Path]:
    """Write files by path into what a user may give: a zip, and a folder."""
    return request.getfixturevalue(f"make_{request.param}")


class Kaggle:
    """What the server answers, which tests change, and what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.file = b""
        self.sends: list[int] = []  # bytes of each of the next answers before the connection breaks
        self.expires = False  # the signed address, after its first use
        self.slugs: list[str] = []
        self.ranges: list[str | None] = []  # of the requests for the file
        self.tokens: list[str | None] = []


SIGNATURE = "signature-of-the-address"


def handler(kaggle: Kaggle) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            kaggle.tokens.append(self.headers["Authorization"])
            if kaggle.status != 200:
                self.answer(kaggle.status, b'{"message": "no"}')
            elif self.path == "/v1/datasets.DatasetApiService/DownloadDataset":
                kaggle.slugs.append(body)
                self.send_response(302)
                self.send_header("Location", f"/files/archive.zip?signature={SIGNATURE}")
                self.end_headers()
            else:  # who holds this token?
                self.answer(200, b'{"active": true, "username": "somebody"}')

        def do_GET(self) -> None:
            kaggle.ranges.append(self.headers["Range"])
            if kaggle.expires and len(kaggle.ranges) > 1:
                self.answer(403, b"<Error>expired</Error>")
                return
            first = int(self.headers["Range"].removeprefix("bytes=").rstrip("-")) if self.headers["Range"] else 0
            self.answer(206 if first else 200, kaggle.file[first:], kaggle.sends.pop(0) if kaggle.sends else None)

        def answer(self, status: int, body: bytes, sends: int | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json" if body.startswith(b"{") else "application/zip")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", '"1"')
            self.send_header("Last-Modified", "Sat, 01 Jun 2019 00:00:00 GMT")
            self.end_headers()
            self.wfile.write(body[:sends])

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


@pytest.fixture
def kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kaggle]:
    """Serve as Kaggle to the real client, which sees no credentials of whoever runs the tests and never waits."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("API_TOKEN", "USERNAME", "KEY", "API_ENVIRONMENT", "KERNEL_RUN_TYPE"):
        monkeypatch.delenv(f"KAGGLE_{name}", raising=False)
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(home))

    from kaggle.api.kaggle_api_extended import KaggleApi  # noqa: PLC0415  # signs in as it is imported
    from kagglesdk import kaggle_env  # noqa: PLC0415  # imports the same

    kaggle = Kaggle()
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(kaggle)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, address)
        monkeypatch.setattr(KaggleApi, "config", str(home / "kaggle.json"))  # its class read HOME at the first import
        monkeypatch.setattr(time, "sleep", lambda _: None)
        yield kaggle
        server.shutdown()
        thread.join()
