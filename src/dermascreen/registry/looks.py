"""How often a test set has been looked at.

The best of many results on one test set is partly luck, as it is chosen for what was seen there (Dwork et al. 2015,
Science 349, 636). Only models that were evaluated with this MLflow store are known.
"""

from dermascreen.artifacts.dataset.manifest import TEST_IMAGES
from dermascreen.core.tracking.sending import WEIGHTS
from dermascreen.core.tracking.store import Store

PAGE = 1000  # experiments or runs in an answer of MLflow


def models_tested(store: Store, test_images: str, own: str) -> int:
    """The number of distinct models that were evaluated on these photographs, also in runs that were deleted since.

    Parameters: `test_images`, as `Manifest.content_of` gives it; `own`, the md5 of the weights of a model that counts
    in any case.
    """
    from mlflow.entities import ViewType  # noqa: PLC0415 - MLflow is slow to import

    experiments, token = [], None
    while True:
        some = store.client.search_experiments(ViewType.ALL, PAGE, page_token=token)
        experiments += [found.experiment_id for found in some]
        token = some.token
        if not token:
            break
    condition = f"attributes.status = 'FINISHED' and tags.stage = 'evaluate' and tags.{TEST_IMAGES} = '{test_images}'"
    found = {own}
    while True:
        runs = store.client.search_runs(experiments, condition, ViewType.ALL, PAGE, page_token=token)
        found |= {run.data.tags[f"input.{WEIGHTS}"] for run in runs}
        token = runs.token
        if not token:
            return len(found)
