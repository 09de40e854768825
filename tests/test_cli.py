"""What the command says itself, so that it need not import what takes seconds, is what the rooms say."""

from pathlib import Path

import pytest

from dermascreen import cli
from dermascreen.artifacts.results.predictions import PooledPredictions
from dermascreen.core.errors import ParamsError
from dermascreen.core.params import read_params, with_changes
from dermascreen.experiments.ablate import Ablation
from dermascreen.prediction import predictor

PARAMS = Path(__file__).parents[1] / "params.yaml"


def test_its_files_are_those_of_the_rooms() -> None:
    assert (cli.POOLED, cli.ABLATION, Path(cli.MODELS)) == (PooledPredictions.PATH, Ablation.PATH, predictor.MODELS)


def test_its_fewest_draws_are_those_of_the_parameters() -> None:
    params = read_params(PARAMS)
    assert with_changes(params, {"evaluate.bootstrap_draws": cli.FEWEST_DRAWS})
    with pytest.raises(ParamsError, match=r"evaluate\.bootstrap_draws"):
        with_changes(params, {"evaluate.bootstrap_draws": cli.FEWEST_DRAWS - 1})
