"""The page in a real browser: Debian's Chromium, or another one that is installed."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import playwright.sync_api as playwright
import pytest
from programs import PATIENCE, free_port, wait_for
from serving_samples import encoded, pixels
from warmth import warm_environment

from dermascreen.evidence.intervals import clopper_pearson
from dermascreen.serving.bundle import Bundle
from dermascreen.serving.photographs import Photograph, PhotographPredictor

WAIT = 1000 * PATIENCE  # milliseconds
STEP = 10_000  # milliseconds, after which something is tried again


@pytest.fixture(scope="module")
def app(models: Path, tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """The page's address, and the folder that it runs in."""
    folder = tmp_path_factory.mktemp("app")
    port = free_port()
    log = folder / "log"
    with log.open("w") as output:
        serving = subprocess.Popen(
            [sys.executable, "-m", "dermascreen", "app", "--model", str(models), "--port", port],
            cwd=folder, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            env=os.environ | {"TMPDIR": str(folder), "HOME": str(folder)},
        )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address, serving, log)
        yield address, folder
    finally:
        os.killpg(serving.pid, signal.SIGINT)
        serving.wait(30)
    assert "Traceback" not in log.read_text()


@pytest.fixture
def page(app, browser):
    """The page as loaded; whatever it asks for must be of this machine."""
    page = browser.new_page(viewport={"width": 1100, "height": 1400})
    page.set_default_timeout(WAIT)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(app[0])
    page.get_by_text("Not a medical device.").first.wait_for()
    yield page
    page.close()
    elsewhere = [url for url in asked if not url.startswith((app[0], app[0].replace("http", "ws"), "data:", "blob:"))]
    assert asked
    assert not elsewhere


def give(page, **contents: bytes) -> None:
    files = [{"name": name.replace("_", "."), "mimeType": "image/png", "buffer": content}
             for name, content in contents.items()]  # fmt: skip
    page.locator("input[type=file]").set_input_files(files)


def unfold(page, title: str, content: str) -> None:
    """Open a part of the page; a click that comes while the page is drawn anew is lost, and has to be made again."""
    part = page.locator("details").filter(has=page.get_by_text(title))
    for _ in range(int(WAIT / STEP)):
        with contextlib.suppress(playwright.TimeoutError):
            if part.get_attribute("open", timeout=STEP) is None:
                part.locator("summary").click(timeout=STEP)
            page.get_by_text(content).wait_for(timeout=STEP)
            return
    pytest.fail(f"{title} does not open")


def test_good_and_bad_photographs_are_judged_and_kept_nowhere(page, app) -> None:
    content = encoded(pixels(1, 77)[0])
    give(page, a_png=content, b_png=b"no image")
    page.get_by_text(re.compile("probability of malignant")).wait_for()
    page.get_by_text("High recall: The sensitivity of 95\N{NO-BREAK SPACE}% that it aims at is not").first.wait_for()
    page.get_by_text("is not a JPEG or PNG image").wait_for()
    page.get_by_role("img").nth(1).wait_for()  # the photograph, and its map
    unfold(page, "At each operating point", "Nearest malignant training images")
    page.screenshot(path=app[1] / "result.png", full_page=True)
    unfold(page, "model's card", "Of a model that has learnt nothing.")
    found = [file for file in app[1].rglob("*") if file.is_file() and content[:64] in file.read_bytes()]
    assert not found
    assert "a.png" not in (app[1] / "log").read_text()


def test_the_slider_says_what_a_threshold_costs_and_answers_to_the_keyboard(page, models) -> None:
    slider = page.get_by_role("slider")
    chosen = json.loads((models / "operating_points.json").read_text())["high_recall"]["threshold"]
    begins = float(slider.input_value()) / 100
    assert chosen - 0.001 < begins <= chosen
    slider.focus()
    for _ in range(3):
        page.keyboard.press("Home")
    figures = page.get_by_test_id("stMetricValue")
    missed, alarms = figures.nth(0), figures.nth(1)
    playwright.expect(missed).to_have_text("0.0", timeout=WAIT)
    playwright.expect(alarms).to_have_text("970.0", timeout=WAIT)  # 3 % are malignant, and all others are called so
    of_fifty = f"95 % interval: 0.0 to {30 * clopper_pearson(0, 50).high:.1f}"  # the 100 images count as 50 lesions
    playwright.expect(page.get_by_text(of_fifty)).to_be_visible()
    page.keyboard.press("End")
    playwright.expect(missed).to_have_text("30.0", timeout=WAIT)
    playwright.expect(alarms).to_have_text("0.0", timeout=WAIT)
    page.get_by_text("100", exact=True).click()
    playwright.expect(missed).to_have_text("100.0", timeout=WAIT)


def test_a_visitor_is_told_of_too_many(page) -> None:
    give(page, **{f"n{number}_png": b"no image" for number in range(21)})
    page.get_by_text("21 photographs were given, and at most 20 are accepted at a time: none was kept.").wait_for()
    playwright.expect(page.get_by_text("n0.png", exact=True)).to_have_count(0, timeout=WAIT)
    give(page, a_png=encoded(pixels(1, 79)[0]))
    page.get_by_text(re.compile("probability of malignant")).wait_for()


def test_it_fits_a_phone_and_names_its_parts(page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    give(page, a_png=encoded(pixels(1, 78)[0]))
    page.get_by_text(re.compile("probability of malignant")).wait_for()
    for name in ("The photograph", "The same, coloured where something supported"):
        page.get_by_role("img", name=name).wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.get_by_role("heading", level=1).inner_text() == "dermascreen"
    unnamed = page.evaluate(
        """[...document.querySelectorAll('img, button, input:not([type=hidden])')].filter(part => part.offsetParent &&
        !(part.alt || part.innerText || part.getAttribute('aria-label') || part.getAttribute('aria-labelledby')
          || part.labels?.length)).map(part => part.outerHTML.slice(0, 200))"""
    )
    assert not unnamed


def test_it_listens_at_one_address_alone(app) -> None:
    port = int(app[0].rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=5)


def test_that_address_is_this_machine_alone_unless_told_otherwise() -> None:
    done = subprocess.run(
        ["dermascreen", "app", "--help"], env=warm_environment(), capture_output=True, text=True, check=True
    )
    assert "this machine alone" in done.stdout


@pytest.mark.parametrize(
    ("in_a_project", "way_out"),
    [
        (False, "check the path, or run the command in the folder that holds dvc.yaml"),
        (True, "`dvc pull` fetches what others have pushed, `dvc repro` makes it"),
    ],
)
def test_a_model_that_is_not_there_is_one_sentence(tmp_path, in_a_project, way_out) -> None:
    if in_a_project:
        (tmp_path / "dvc.yaml").touch()
    done = subprocess.run(
        ["dermascreen", "app", "--port", free_port()], cwd=tmp_path, env=warm_environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"dermascreen app: models does not exist; {way_out}.\n"


@pytest.mark.parametrize("command", ["app", "ui"])
def test_a_port_that_is_taken_is_one_sentence(tmp_path, command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            ["dermascreen", command, "--port", port], cwd=tmp_path, env=warm_environment(),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"dermascreen {command}: 127.0.0.1:{port} cannot be used (Address already in use); choose another --port or "
        "--host.\n"
    )


def test_the_page_decides_as_the_command_does_until_the_slider_is_moved(page, models) -> None:
    [shown] = pixels(1, 77)  # between the first step of the slider and the threshold of high_recall
    [predicted] = PhotographPredictor(Bundle.read(models))([Photograph("a.png", lambda: encoded(shown))])
    give(page, a_png=encoded(shown))
    said = {"malignant": "Malignant", "benign": "Benign"}[predicted.decision]
    page.get_by_text(re.compile(rf"{said} at High recall")).wait_for()
    page.get_by_role("slider").focus()
    page.keyboard.press("Home")
    page.get_by_text(re.compile(r"Malignant at 0\s%")).wait_for()
    page.get_by_text("Nothing is guaranteed at a threshold chosen by hand.").wait_for()
