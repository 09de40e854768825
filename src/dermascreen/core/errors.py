"""One exception class for each mistake that a user can make; each message is a sentence that says what to do."""

from collections.abc import Mapping
from pathlib import Path


class DermascreenError(Exception):
    """A problem outside this code; a stage prints its sentence and ends with exit code 1."""


class ParamsError(DermascreenError):
    """params.yaml holds something invalid."""


MADE = ("data", "models", "reports", "metrics")  # folders of the project that the pipeline fills


class MissingInputError(DermascreenError):
    def __init__(
        self, path: Path, elsewhere: str = "check the path, or run the command in the folder that holds dvc.yaml"
    ) -> None:
        way_out = (
            "`dvc pull` fetches what others have pushed, `dvc repro` makes it"
            if path.parts and path.parts[0] in MADE and Path("dvc.yaml").is_file()
            else elsewhere
        )
        self.path, self.problem = path, "does not exist"
        super().__init__(f"{path} does not exist; {way_out}.")


class BadTableError(DermascreenError):
    def __init__(self, path: Path, problem: str, advice: str = "run `dvc repro` to make it again") -> None:
        self.path, self.problem = path, problem
        super().__init__(f"{path} {problem}; {advice}.")


class FileError(DermascreenError):
    def __init__(self, error: OSError) -> None:
        super().__init__(f"{error.filename} cannot be read or written ({error.strerror}).")


class DiskFullError(DermascreenError):
    def __init__(self, path: str) -> None:
        super().__init__(f"The disk is full at {path}; free some space and run the same command again.")


class TooFewLesionsError(DermascreenError):
    def __init__(
        self, split: str, benign: int, malignant: int, fewest: int, advice: str, *, what: str = "lesions"
    ) -> None:
        super().__init__(
            f"There are too few {what} for {split}: {benign} benign and {malignant} malignant, "
            f"where at least {fewest} of each are needed; add images or {advice}."
        )


class SiteError(DermascreenError):
    def __init__(self, archive: Path, benign: int, malignant: int, fewest: int) -> None:
        super().__init__(
            f"{archive} holds {benign} benign and {malignant} malignant images of lesions that were not trained on, "
            f"where at least {fewest} of each are needed; take it out of evaluate.external or add images."
        )


class WeightsError(DermascreenError):
    """model.weights cannot be found or fetched, or does not fit model.architecture."""


class ArchitectureError(DermascreenError):
    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"model.architecture: {problem}.")


class TrainingError(DermascreenError):
    """Training cannot start or continue with these parameters."""


class CheckpointError(DermascreenError):
    def __init__(self, path: Path, problem: str = "is not a complete checkpoint") -> None:
        super().__init__(
            f"{path} {problem}; remove {path.parent} to train from the beginning, and run the same command again."
        )


class LayerError(DermascreenError):
    def __init__(self, layer: str, choices: list[str]) -> None:
        super().__init__(
            f"explain.layer: {layer} is not a layer of the network whose output is N x C x h x w; "
            f"layers with a similar name that will do are {', '.join(choices)}."
        )


class VariantError(DermascreenError):
    def __init__(self, variant: str) -> None:
        super().__init__(
            f"explain.variant: {variant} acts on the ReLUs of a network, and this one has none; use grad_cam or "
            "hires_cam."
        )


class ArchiveError(DermascreenError):
    """An archive is missing, not safe to unpack, or in a layout that is not understood."""


class TableError(ArchiveError):
    def __init__(self, where: str, problem: str, advice: str) -> None:
        super().__init__(f"{where} {problem}; {advice}.")


class CorruptArchiveError(ArchiveError):
    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} {problem}; replace it with a whole copy.")


class ImageError(DermascreenError):
    def __init__(self, entry: str, problem: str) -> None:
        self.problem = problem
        super().__init__(f"{entry} {problem}; take it out, or give a corrected copy of the data.")


MOST_COPIED = 4  # paths that the advice names


class ExposedError(DermascreenError):
    def __init__(self, key: str, path: Path, file: str) -> None:
        super().__init__(
            f"{key}: {path} lies in this project, and Git does not ignore {file}: `dvc exp run` would commit "
            "it; move it into data/archive, or out of the project."
        )


class CopyError(DermascreenError):
    def __init__(self, key: str, path: Path, root: Path, missing: set[str], inside: Mapping[str, str]) -> None:
        # DVC does not copy over an existing folder, such as one with a README, so its contents are named one by one.
        tops = sorted({Path(path, *Path(file).parts[:1]) for file in missing})
        copying = " ".join(f"--copy-paths {top}" for top in tops)
        absolute = " ".join(f"-S {name}={root / place}" for name, place in {key: str(path), **inside}.items())
        super().__init__(
            f"{key}: {path / min(missing)} is missing in this temporary copy of the project, as Git ignores it; add "
            f"`{absolute}`{f' or `{copying}`' if len(tops) <= MOST_COPIED else ''} to the command."
        )


class DownloadError(DermascreenError):
    """Kaggle refuses, cannot be reached, or sent something other than a zip."""


class InputError(DermascreenError):
    """A command names no photograph, operating point or folder that it can use."""


class ModelError(DermascreenError):
    """A model cannot be found in the registry, or must not be registered."""


class SignatureError(DermascreenError):
    """A model is not what was signed, or a key cannot be used."""


class StoreError(DermascreenError):
    """MLflow's store of runs and models cannot be reached, opened or understood."""


class ExportError(DermascreenError):
    def __init__(self, file: Path, apart: float, tolerance: float) -> None:
        super().__init__(
            f"{file} was not written: its logits differ from torch's by {apart:.1e}, where {tolerance:g} is allowed; "
            "choose another model.architecture."
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


class SearchError(DermascreenError):
    """A search for parameters cannot begin, or a trial of it failed."""


class ComparisonError(DermascreenError):
    """Two sets of predictions cannot be compared."""


class FoldsError(DermascreenError):
    """Predictions do not belong to the folds of one cross-validation."""


class ReproductionError(DermascreenError):
    def __init__(self, folder: Path, outside: list[str]) -> None:
        many = len(outside) > 1
        super().__init__(
            f"{folder} is not reproduced: {' and '.join(outside)} {'are' if many else 'is'} outside "
            f"{'their intervals' if many else 'its interval'}."
        )
