"""One exception class per mistake a user can make; each message is a sentence that names the way out."""

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class DermascreenError(Exception):
    """A mistake outside this code; a stage prints its sentence and ends with exit code 1."""


class ParamsError(DermascreenError):
    """params.yaml says something that cannot be meant."""


class MissingInputError(DermascreenError):
    def __init__(self, path: Path) -> None:
        self.path, self.problem = path, "does not exist"
        super().__init__(f"{path} does not exist; run `dvc repro` to make it.")


class BadTableError(DermascreenError):
    def __init__(self, path: Path, problem: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(f"{path} {problem}; run `dvc repro --force` to make it anew.")


class FileError(DermascreenError):
    def __init__(self, error: OSError) -> None:
        super().__init__(f"{error.filename} cannot be read or written ({error.strerror}).")


class DiskFullError(DermascreenError):
    def __init__(self, path: str) -> None:
        super().__init__(f"The disk is full at {path}; free some space and run the same command again.")


@contextmanager
def reported(name: str) -> Iterator[None]:
    """End the program with one sentence, from `name`: exit code 1 at a mistake outside this code, 130 at Ctrl-C."""
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
    print(f"{name}: {mistake}", file=sys.stderr)
    raise SystemExit(1) from mistake


class TooFewLesionsError(DermascreenError):
    def __init__(self, split: str, benign: int, malignant: int, fewest: int) -> None:
        super().__init__(
            f"There are too few lesions for {split}: {benign} benign and {malignant} malignant, "
            f"where at least {fewest} of each are needed; add images or change the fractions under split."
        )


class ClinicError(DermascreenError):
    def __init__(self, archive: Path, benign: int, malignant: int, fewest: int) -> None:
        super().__init__(
            f"{archive} holds {benign} benign and {malignant} malignant images of lesions that were not trained on, "
            f"where at least {fewest} of each are needed; take it out of evaluate.external or add images."
        )


class WeightsError(DermascreenError):
    """model.weights cannot be had, or is not a ResNet50."""


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
    """An archive is not there, not safe to unpack, or not in Kaggle's layout."""


class CorruptArchiveError(ArchiveError):
    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} {problem}; replace it by a whole copy.")


class ImageError(DermascreenError):
    def __init__(self, entry: str, problem: str) -> None:
        self.problem = problem
        super().__init__(f"{entry} {problem}; take it out, or give a corrected copy of the data.")


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
