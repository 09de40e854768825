"""How often a test set has been looked at.

The best of many results on one test set is partly luck, as it is chosen for what was seen there (Dwork et al. 2015,
Science 349, 636). Only models that were evaluated with this MLflow store are known.
"""

from dermascreen.artifacts.dataset.manifest import TEST_IMAGES
from dermascreen.core.tracking.sending import WEIGHTS


def models_tested(test_images: str, own: str) -> int:
    """The number of distinct models that were evaluated on these photographs, also in runs that were deleted since.

    To be called within `store.chosen`, in whose store it looks.

    Parameters: `test_images`, as `Manifest.content_of` gives it; `own`, the md5 of the weights of a model that counts
    in any case.
    """
    import mlflow  # noqa: PLC0415 - slow to import
    from mlflow.entities import Run, ViewType  # noqa: PLC0415

    experiments = [found.experiment_id for found in mlflow.search_experiments(ViewType.ALL)]
    condition = f"attributes.status = 'FINISHED' and tags.stage = 'evaluate' and tags.{TEST_IMAGES} = '{test_images}'"
    runs: list[Run] = mlflow.search_runs(
        experiments, filter_string=condition, run_view_type=ViewType.ALL, output_format="list"
    )
    return len({own, *(run.data.tags[f"input.{WEIGHTS}"] for run in runs)})
