"""One exception class per mistake a user can make; each message is a sentence that names the way out."""

import errno
import io
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class DermascreenError(Exception):
    """A mistake outside this code; a stage prints its sentence and ends with exit code 1."""


class ParamsError(DermascreenError):
    """params.yaml says something that cannot be meant."""


MADE = ("data", "models", "reports", "metrics")  # folders of the project that the pipeline fills


class MissingInputError(DermascreenError):
    def __init__(self, path: Path) -> None:
        way_out = (
            "`dvc pull` fetches what others have pushed, `dvc repro` makes it"
            if path.parts and path.parts[0] in MADE and Path("dvc.yaml").is_file()
            else "check the path, or run the command in the folder that holds dvc.yaml"
        )
        self.path, self.problem = path, "does not exist"
        super().__init__(f"{path} does not exist; {way_out}.")


class BadTableError(DermascreenError):
    def __init__(self, path: Path, problem: str, advice: str = "run `dvc repro --force` to make it anew") -> None:
        self.path, self.problem = path, problem
        super().__init__(f"{path} {problem}; {advice}.")


class FileError(DermascreenError):
    def __init__(self, error: OSError) -> None:
        super().__init__(f"{error.filename} cannot be read or written ({error.strerror}).")


class DiskFullError(DermascreenError):
    def __init__(self, path: str) -> None:
        super().__init__(f"The disk is full at {path}; free some space and run the same command again.")


@contextmanager
def reported(name: str) -> Iterator[None]:
    """End the program with one sentence, from `name`: exit code 1 at a mistake outside this code, 130 at Ctrl-C.

    What the encoding of standard output lacks is printed escaped: a file's name is no reason to stop.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
    except DermascreenError as error:
        mistake = error
    except KeyboardInterrupt:
        print(f"{name}: interrupted.", file=sys.stderr)
        raise SystemExit(128 + signal.SIGINT) from None
    except BrokenPipeError:  # whoever read stdout, such as `head`, wants no more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # which Python flushes at its end
        raise SystemExit(128 + signal.SIGPIPE) from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            mistake = DiskFullError(str(error.filename or Path.cwd()))
        elif error.filename is not None:
            mistake = FileError(error)
        else:
            raise
    else:
        return
    print(f"{name}: {visible(str(mistake))}", file=sys.stderr)
    raise SystemExit(1) from mistake


def visible(text: str) -> str:
    """`text` in one line: control characters, and bytes of a file's name that are not UTF-8, as escapes."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", _escaped, encodable(text))


def encodable(text: str) -> str:
    """`text` with bytes of a file's name that are not UTF-8 as escapes."""
    return re.sub(r"[\ud800-\udfff]", _escaped, text)


def _escaped(match: re.Match[str]) -> str:
    byte = ord(match[0]) - 0xDC00  # Python's code for a byte of a name that does not decode
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else match[0].encode("unicode_escape").decode()  # noqa: PLR2004


class TooFewLesionsError(DermascreenError):
    def __init__(self, split: str, benign: int, malignant: int, fewest: int, advice: str) -> None:
        super().__init__(
            f"There are too few lesions for {split}: {benign} benign and {malignant} malignant, "
            f"where at least {fewest} of each are needed; add images or {advice}."
        )


class ClinicError(DermascreenError):
    def __init__(self, archive: Path, benign: int, malignant: int, fewest: int) -> None:
        super().__init__(
            f"{archive} holds {benign} benign and {malignant} malignant images of lesions that were not trained on, "
            f"where at least {fewest} of each are needed; take it out of evaluate.external or add images."
        )


class WeightsError(DermascreenError):
    """model.weights cannot be had, or is not a ResNet50."""


class ArchitectureError(DermascreenError):
    def __init__(self, path: Path, found: object, known: str) -> None:
        super().__init__(
            f"{path} describes the architecture {found}, and this version of dermascreen builds {known} alone; use the "
            "version that trained the model."
        )


class TrainingError(DermascreenError):
    """Training cannot begin, or cannot go on, with these parameters."""


class CheckpointError(DermascreenError):
    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} is not a whole checkpoint; remove {path.parent} to train from the beginning, "
            "and run the same command again."
        )


class LayerError(DermascreenError):
    def __init__(self, layer: str, choices: list[str]) -> None:
        super().__init__(
            f"explain.layer: {layer} is not a layer of the network whose output is N x C x h x w; "
            f"layers with a name like it that will do are {', '.join(choices)}."
        )


class ArchiveError(DermascreenError):
    """An archive is not there, not safe to unpack, or in no layout that is understood."""


class CorruptArchiveError(ArchiveError):
    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} {problem}; replace it by a whole copy.")


class ImageError(DermascreenError):
    def __init__(self, entry: str, problem: str) -> None:
        self.problem = problem
        super().__init__(f"{entry} {problem}; take it out, or give a corrected copy of the data.")


MOST_COPIED = 4  # paths that an advice names


class ExposedError(DermascreenError):
    def __init__(self, key: str, path: Path, file: str) -> None:
        super().__init__(
            f"{key}: {path} lies in this project, and Git does not ignore {file}: `dvc exp run` would commit "
            "it; move it into data/archive, or out of the project."
        )


class CopyError(DermascreenError):
    def __init__(self, key: str, path: Path, root: Path, missing: set[str]) -> None:
        # DVC copies nothing onto what is there, such as a folder with a README: so what lies in it, one by one.
        tops = sorted({Path(path, *Path(file).parts[:1]) for file in missing})
        copying = " ".join(f"--copy-paths {top}" for top in tops)
        super().__init__(
            f"{key}: {path / min(missing)} is missing in this temporary copy of the project, as Git ignores it; add "
            f"`-S {key}={root / path}`{f' or `{copying}`' if len(tops) <= MOST_COPIED else ''} to the command."
        )


class DownloadError(DermascreenError):
    """Kaggle refuses, cannot be reached, or sent something else than a zip."""


class InputError(DermascreenError):
    """A command names no photograph, operating point or folder that it can use."""


class ModelError(DermascreenError):
    """A model cannot be found in the registry, or may not be put there."""


class StoreError(DermascreenError):
    """MLflow's store of runs and models cannot be reached, opened or understood."""


class ExportError(DermascreenError):
    def __init__(self, file: Path, apart: float, tolerance: float) -> None:
        super().__init__(
            f"{file} was not written: its logits differ from torch's by {apart:.1e}, where {tolerance:g} is allowed."
        )


class PredictionsError(DermascreenError):
    def __init__(self, source: str, problem: str) -> None:
        self.problem = problem
        super().__init__(f"{source} {problem}; give a predictions.csv as stage evaluate writes it.")


class ExperimentError(DermascreenError):
    def __init__(self, name: str, problem: Exception) -> None:
        super().__init__(
            f"{name} is neither a file nor a DVC experiment or Git revision that can be read ({problem}); "
            "`dvc exp list` names the experiments."
        )


class ComparisonError(DermascreenError):
    """Two sets of predictions cannot be compared."""


class FoldsError(DermascreenError):
    """Predictions do not belong to the folds of one cross-validation."""
