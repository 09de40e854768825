"""What a search may choose from."""

import json
from pathlib import Path

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FixedTrial

from dermascreen.core.errors import ParamsError, SearchError
from dermascreen.core.params import read_params
from dermascreen.experiments.space import Space, options

BASE = read_params(Path(__file__).parents[2] / "params.yaml")


def asked(*texts: str) -> dict[str, optuna.distributions.BaseDistribution]:
    """What Optuna is asked for."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trial = study.ask()
    Space(texts, BASE).suggest(trial)
    return trial.distributions


@pytest.mark.parametrize(
    ("text", "distribution"),
    [
        ("train.lr=interval(1e-4, 1e-2)", FloatDistribution(1e-4, 1e-2)),
        ("train.lr=tag(log, interval(1e-4, 1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
        ("train.mixup=interval(0, 1)", FloatDistribution(0.0, 1.0)),  # a real number, whatever its ends look like
        ("train.epochs=interval(2, 9)", IntDistribution(2, 9)),
        ("train.epochs=tag(log, interval(2, 9))", IntDistribution(2, 9, log=True)),
        ("train.epochs=range(2, 9, 3)", CategoricalDistribution(["2", "5", "8"])),
        ("train.epochs=range(2, 3)", CategoricalDistribution(["2"])),
        ("train.dropout=x", None),
        ("model.dropout=range(0.1, 0.6, 0.2)", CategoricalDistribution(["0.1", "0.3", "0.5"])),
        ("train.ema=choice(0, 0.99)", CategoricalDistribution(["0", "0.99"])),
        ("train.ema=0,0.99", CategoricalDistribution(["0", "0.99"])),
        ("train.pos_weight=choice(auto, 1.0)", CategoricalDistribution(['"auto"', "1.0"])),
        ("train.image_sizes=choice([], [96,160])", CategoricalDistribution(["[]", "[96, 160]"])),
        ("train.augment.flip=choice(true, false)", CategoricalDistribution(["true", "false"])),
    ],
)
def test_each_form_of_hydra_is_a_distribution(text: str, distribution: object) -> None:
    if distribution is None:
        with pytest.raises(SearchError, match="leaves nothing to choose"):
            asked(text)
    else:
        assert asked(text) == {text.partition("=")[0]: distribution}


def test_numbers_are_rounded_and_stay_within_their_interval() -> None:
    space = Space(["train.lr=interval(0.00012345, 0.01)", "train.image_sizes=choice([], [96,160])"], BASE)
    found = space.suggest(FixedTrial({"train.lr": 0.0023456, "train.image_sizes": "[96, 160]"}))
    assert found == {"train.lr": 0.00235, "train.image_sizes": [96, 160]}
    assert space.suggest(FixedTrial({"train.lr": 0.00012345, "train.image_sizes": "[]"}))["train.lr"] == 0.00012345
    narrow = Space(["train.ema=interval(0.999, 0.9999)"], BASE)
    assert narrow.suggest(FixedTrial({"train.ema": 0.99941234})) == {"train.ema": 0.999412}
    from_zero = Space(["train.mixup=interval(0, 1)"], BASE)
    assert [from_zero.suggest(FixedTrial({"train.mixup": value}))["train.mixup"] for value in (0.0, 0.12345, 1.0)] == [
        0, 0.123, 1,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["train.lr"], "is not of the form name=choice"),
        (["train.lr=interval(0.1"], "is not of the form name=choice"),
        (["train.lr=0.1"], "leaves nothing to choose"),
        (["+train.lr=choice(0.1, 0.2)"], "leaves nothing to choose"),
        (["split.seed=range(3)"], "split.seed cannot be searched"),
        (["seed=range(3)"], "seed cannot be searched"),
        (["train.lr=range(1, 1)"], "the range is empty"),
        (["train.lr=interval(0.1, 0.01)"], "train.lr=interval(0.1, 0.01) cannot be searched (the first end of"),
        (["train.lr=interval(0.1, 0.1)"], "the first end of an interval must be below the second"),
        (["train.ema=tag(log, interval(0, 0.9))"], "with log, both ends must be above zero"),
        (["train.lr=tag(log, choice(0.1, 0.2))"], "log is for intervals"),
        (["train.epochs=tag(log, range(2, 9))"], "log is for intervals"),
        (["train.lr=glob(*)"], "glob"),
        (["train.epochs=interval(2.5, 9)"], "its ends must be whole numbers"),
        (["train.epochs=range(1, 3, 0.5)"], "its values must be whole numbers"),
        (["train.lr=choice(0.1, 0.2)", "train.lr=choice(0.3)"], "train.lr is named twice"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_a_sentence(texts: list[str], said: str) -> None:
    with pytest.raises(SearchError) as raised:
        Space(texts, BASE)
    assert said in str(raised.value)
    assert str(raised.value).endswith(".")


@pytest.mark.parametrize("text", ["train.lr=interval(0, 1)", "train.nonsense=choice(1, 2)", "train.ema=choice(0, x)"])
def test_ends_and_choices_are_checked_like_the_file(text: str) -> None:
    with pytest.raises(ParamsError):
        Space([text], BASE)


def test_options_are_read_by_hydra_as_they_were_written() -> None:
    values = {"train.lr": 5e-05, "train.image_sizes": [96, 160], "train.pos_weight": "auto", "train.augment.flip": True}
    written = options(values)
    assert written[::2] == ["-S"] * 4
    overrides = OverridesParser.create().parse_overrides(written[1::2])
    assert {override.key_or_group: json.loads(json.dumps(override.value(), default=str)) for override in overrides} == (
        values | {"train.pos_weight": "auto"}
    )
