"""`dermascreen app`: serves page.py with Streamlit, by default to this machine alone.

Streamlit keeps uploads in memory. Nothing is written to disk or logged, and the browser contacts only this server.
"""

from functools import cache
from pathlib import Path

from streamlit.web import bootstrap

from dermascreen.registry.files import located
from dermascreen.serving.address import page_at, require_free
from dermascreen.serving.bundle import Bundle
from dermascreen.serving.photographs import PhotographPredictor

MAX_FILES = 20  # photographs at a time
MAX_FILE_MIB = 16  # of each
PAGE = Path(__file__).with_name("page.py")

OPTIONS = {
    "browser.gatherUsageStats": False,
    "client.showErrorDetails": "none",  # a visitor is told only that something went wrong
    "client.toolbarMode": "minimal",
    "global.developmentMode": False,
    "logger.level": "warning",
    "server.fileWatcherType": "none",
    "server.headless": True,
    "server.maxUploadSize": MAX_FILE_MIB,
    "server.runOnSave": False,
}


@cache
def predictor_of(model: str) -> PhotographPredictor:
    """The model that is served, with maps; raises a DermascreenError if it cannot be read."""
    with located(model) as folder:
        return PhotographPredictor(Bundle.read(folder, explained=True))


def serve(model: str, host: str, port: int) -> int:
    """Serve the page until Ctrl-C; raises InputError if nothing can listen at `host` and `port`."""
    require_free(host, port)
    predictor_of(model)
    options = {**OPTIONS, "server.address": host, "server.port": port}
    bootstrap.load_config_options({name.replace(".", "_"): value for name, value in options.items()})
    print(f"Open {page_at(host, port)} in a browser; Ctrl-C ends.", flush=True)
    bootstrap.run(str(PAGE), False, [model], {})
    return 0
