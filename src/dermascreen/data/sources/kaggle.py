"""Fetch a data set's zip from Kaggle."""

import contextlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from dermascreen.core.errors import CorruptArchiveError, DownloadError

REFUSALS = {
    401: "Kaggle does not accept these credentials; renew the token in ~/.kaggle/access_token or KAGGLE_API_TOKEN",
    403: "Kaggle does not let you download {slug}; sign in with `kaggle auth login` and accept the terms on its page",
    404: "Kaggle has no data set {slug}; correct data.slug",
    429: "Kaggle accepts no more requests from you for now; wait some minutes and run the same command again",
}
_NOT_A_ZIP = "What Kaggle sent for {slug} is not a complete zip and was deleted; run the same command again."


@contextlib.contextmanager
def downloaded(slug: str, cache: Path) -> Iterator[Path]:
    """Yield the path of the zip of data set `slug` (owner/name), fetched to a folder in `cache`.

    What was fetched stays there until the body succeeds, so that the next try resumes the download or skips it; only a
    zip that the body finds corrupt is deleted at once. Raises DownloadError if Kaggle refuses or cannot be reached.
    """
    folder = cache / slug.replace("/", "__")
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{folder.name}.lock"):  # one of several workers fetches, and the others wait
        archive = folder / f"{slug.split('/')[1]}.zip"
        _download(slug, folder)
        try:
            yield archive
        except CorruptArchiveError:
            shutil.rmtree(folder)
            raise DownloadError(_NOT_A_ZIP.format(slug=slug)) from None
        shutil.rmtree(folder)


def _download(slug: str, folder: Path) -> None:
    # The client prints help on signing in, and errors that hold signed addresses: its standard output is dropped.
    # Its progress bar goes to standard error.
    from requests import HTTPError, RequestException  # noqa: PLC0415  # comes with the client

    try:
        with contextlib.redirect_stdout(io.StringIO()):
            from kaggle.api.kaggle_api_extended import KaggleApi  # noqa: PLC0415  # signs in as it is imported

            api = KaggleApi()
            with contextlib.suppress(SystemExit):  # no credentials: public data sets need none
                api.authenticate()
            try:
                api.dataset_download_files(slug, path=str(folder), quiet=False)
            except ValueError:  # the final size is wrong, so the file may not be the beginning of the zip
                shutil.rmtree(folder)
                raise DownloadError(_NOT_A_ZIP.format(slug=slug)) from None
    except HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        refusal = REFUSALS.get(status, f"Kaggle answers with HTTP status {status}; run the same command later")
        raise DownloadError(refusal.format(slug=slug) + ".") from None
    except RequestException:
        raise DownloadError(
            f"The network or Kaggle failed during the download of {slug}; run the same command to continue it."
        ) from None
