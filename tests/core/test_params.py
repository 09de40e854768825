import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.serialize import modify_yaml, parse_yaml

from dermascreen.core.errors import ParamsError
from dermascreen.core.params import flat, load, parse, read_params, with_changes, written
from dermascreen.experiments.workspace import override_params

SHIPPED = Path(__file__).parents[2] / "params.yaml"
Write = Callable[[str, Any], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write the shipped parameters with one of them changed."""
    monkeypatch.chdir(tmp_path)

    def change(key: str, value: object) -> Path:
        content = load(SHIPPED)
        *sections, name = key.split(".")
        section = content
        for part in sections:
            section = section[part]
        section[name] = value
        path = Path("params.yaml")
        path.write_text(written(content), encoding="utf-8")
        return path

    return change


def refusal(path: Path) -> str:
    with pytest.raises(ParamsError) as error:
        read_params(path)
    return str(error.value)


def test_the_shipped_parameters_are_read_as_they_are_written() -> None:
    assert read_params(SHIPPED).model_dump() == load(SHIPPED)


def test_parameters_cannot_be_changed_once_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read_params(SHIPPED).train.lr = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    "text",
    [
        "5e-05", "1e-4", "1E-4", "1.e-3", "+2e+0", "010", "08", "0o17", "yes", "no", "on", "1:30", "1_000", "'1e-4'",
    ],
)  # fmt: skip
def test_values_are_read_as_dvc_reads_them(text: str) -> None:
    value, recorded = parse(f"a: {text}")["a"], parse_yaml(f"a: {text}", "params.yaml")["a"]
    assert (value, type(value)) == (recorded, type(recorded))


def test_an_exponent_without_a_point_and_a_leading_zero_are_numbers_and_no_is_text() -> None:
    assert parse("[5e-05, 010, no, yes]") == [5e-05, 10, "no", "yes"]


def test_what_dvc_writes_of_a_small_number_is_that_number(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(SHIPPED.read_text("utf-8"), encoding="utf-8")
    with modify_yaml(path) as content:
        content["train"]["lr"] = 5e-05
    assert read_params(path).train.lr == 5e-05


def test_what_is_written_reads_back() -> None:
    content = {
        "b": ["08", "1e3", "no", "2020-01-02", "", "ä" * 200, " x ", "a: b # c"],
        "a": {"f": 1e-7, "n": None, "t": True},
    }
    assert parse(written(content)) == content
    assert [*parse(written(content))] == ["b", "a"]


def test_sections_are_told_by_dotted_names() -> None:
    content = {"seed": 0, "train": {"lr": 0.1, "augment": {"flip": True, 2: [1]}, "empty": {}}, "none": None}
    assert flat(content) == {
        "seed": 0, "train.lr": 0.1, "train.augment.flip": True, "train.augment.2": [1], "train.empty": {}, "none": None
    }  # fmt: skip
    assert flat({}) == {}
    assert flat([1]) == {"": [1]}


def test_a_whole_number_will_do_for_a_float(write: Write) -> None:
    assert read_params(write("train.backbone_lr_factor", 1)).train.backbone_lr_factor == 1.0


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        # types
        ("seed", True, "seed is True, but must be a whole number."),
        ("seed", 1.5, "seed is 1.5, but must be a whole number."),
        ("seed", "1", "seed is '1', but must be a whole number."),
        ("train.epochs", 1e1, "train.epochs is 10.0, but must be a whole number."),
        ("train.lr", "fast", "train.lr is 'fast', but must be a number."),
        ("train.lr", "0.1", "train.lr is '0.1', but must be a number."),
        ("train.lr", True, "train.lr is True, but must be a number."),
        ("train.channels_last", 1, "train.channels_last is 1, but must be true or false."),
        ("model.weights", 5, "model.weights is 5, but must be text."),
        ("model.weights", None, "model.weights is empty, but must be text."),
        ("train", 5, "train is 5, but must be a section of keys with values."),
        ("train.augment", None, "train.augment is empty, but must be a section of keys with values."),
        # ranges
        ("seed", -1, "seed is -1, but must be greater than or equal to 0."),
        ("seed", 2**32, "seed is 4294967296, but must be less than 4294967296."),
        ("data.synthetic.images", 15, "data.synthetic.images is 15, but must be greater than or equal to 16."),
        ("data.max_unpacked_gib", 0, "data.max_unpacked_gib is 0, but must be greater than 0."),
        ("audit.max_distance", 32, "audit.max_distance is 32, but must be less than or equal to 31."),
        ("split.val_fraction", 1, "split.val_fraction is 1, but must be less than 1."),
        ("split.test_fraction", 0.0, "split.test_fraction is 0.0, but must be greater than 0."),
        ("model.dropout", 1.0, "model.dropout is 1.0, but must be less than 1."),
        ("train.batch_size", 1, "train.batch_size is 1, but must be greater than or equal to 2."),
        ("train.lr", float("inf"), "train.lr is inf, but must be a finite number."),
        ("train.lr", float("nan"), "train.lr is nan, but must be a finite number."),
        ("threshold.target_recall", 1.01, "threshold.target_recall is 1.01, but must be less than 1."),
        ("tracking.experiment", "", "tracking.experiment is '', but must be at least one character."),
        # choices and forms
        ("data.source", "web", "data.source is 'web', but must be 'kaggle', 'archive', 'table' or 'synthetic'."),
        ("train.precision", 64, "train.precision is 64, but must be 'auto', 32, 'bf16' or 16."),
        ("data.slug", "skin-cancer", "data.slug is 'skin-cancer', but must be of the form owner/name."),
        # two parameters that contradict each other
        ("train.unfreeze_every", 1, "train.unfreeze_every is 1, but frozen_epochs is 0: nothing is frozen."),
        ("train.frozen_views", 2, "train.frozen_views is 2, but frozen_epochs is 0: nothing is frozen."),
        (
            "train.strategy",
            "ddp_spawn",
            "train.strategy is ddp_spawn, whose processes cannot return their results; use ddp.",
        ),
        (
            "train.image_sizes",
            [128, 96],
            "train.image_sizes is [128, 96], but must rise, and end below preprocess.image_size.",
        ),
        ("train.image_sizes", [224], "train.image_sizes is [224], but must rise, and end below preprocess.image_size."),
        ("split.folds", 5, "split.folds is 5, which needs protocol grouped, not official."),
        ("split.folds", 1, "split.folds is 1, but must be 0 for one split, or at least 2."),
        ("threshold.groups", ["age", "sex", "sex"], "threshold.groups names sex more than once."),
        ("split.fold", 2, "split.fold is 2, but must be less than folds (0)."),
        ("model.weights", "packged", "model.weights is packged, which is not known; packaged is."),
        ("model.weights", "imagenet1k_v2", "model.weights is imagenet1k_v2, which is not known; IMAGENET1K_V2 is."),
        (
            "model.weights",
            "weights/mine.pth",
            "model.weights is weights/mine.pth, which is none of packaged, pretrained, IMAGENET1K_V2, IMAGENET1K_V1, "
            "none and lies outside own_weights (data/weights), where DVC notices when a file changes: put the file "
            "there, or add `-S model.own_weights=weights/mine.pth`.",
        ),
        # a number or a word
        ("train.pos_weight", -1, "train.pos_weight is -1, but must be greater than 0."),
        ("train.pos_weight", "balanced", "train.pos_weight is 'balanced', but must be a number or 'auto'."),
        ("train.devices", 0, "train.devices is 0, but must be greater than or equal to 1."),
        ("train.devices", "all", "train.devices is 'all', but must be a whole number or 'auto'."),
        # what may be left out
        ("threshold.target_specificity", 1.0, "threshold.target_specificity is 1.0, but must be less than 1."),
        ("evaluate.bootstrap_draws", 0, "evaluate.bootstrap_draws is 0, but must be greater than or equal to 100."),
        ("audit.min_score", -1.0, "audit.min_score is -1.0, but must be greater than 0."),
    ],
)
def test_an_impossible_value_is_one_sentence(key: str, value: object, sentence: str, write: Write) -> None:
    assert refusal(write(key, value)) == f"params.yaml: {sentence}"


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        (
            "train.augment.flop",
            "flop is not a key of train.augment, which has flip, rotation, brightness, contrast, "
            "saturation, hue, jpeg, zoom, blur.",
        ),
        ("evaluate.images", "images is not a key of evaluate, which has batch_size, tta, bootstrap_draws, external."),
        (
            "trian",
            "trian is not a key of the file, which has seed, data, audit, split, preprocess, model, train, evaluate, "
            "threshold, explain, registry, tracking.",
        ),
    ],
)
def test_an_unknown_key_names_those_there_are(key: str, sentence: str, write: Write) -> None:
    assert refusal(write(key, 1)) == f"params.yaml: {sentence}"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"train.frozen_epochs": 2, "train.frozen_views": 3}, "frozen_views is 3, but there are 2 frozen_epochs."),
        ({"train.frozen_epochs": 2, "train.frozen_views": 2, "train.mixup": 0.2}, "leave out mixup."),
        ({"train.frozen_epochs": 2, "train.frozen_views": 2, "train.image_sizes": [96]}, "leave out image_sizes."),
        ({"train.frozen_epochs": 2, "train.frozen_views": 2, "train.nodes": 2}, "leave out nodes."),
        (
            {"train.frozen_epochs": 2, "model.weights": "none"},
            "params.yaml: train.frozen_epochs keeps the initial weights as they are, but model.weights is none.",
        ),
    ],
)
def test_parameters_that_contradict_each_other(changes: dict[str, object], sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(SHIPPED.read_bytes())
    override_params(path, changes)
    with pytest.raises(ParamsError, match=re.escape(sentence.removeprefix("params.yaml: "))):
        read_params(path)


@pytest.mark.parametrize(
    ("weights", "own"),
    [
        ("data/weights/mine.pth", "data/weights"),
        ("data/weights/deeper/mine.pth", "./data/weights/"),
        ("elsewhere/mine.pth", "elsewhere/mine.pth"),
        ("/elsewhere/mine.pth", "/elsewhere"),
        ("packaged", "data/weights"),
        ("pretrained", "data/weights"),
        ("IMAGENET1K_V1", "nowhere"),
        ("none", "nowhere"),
    ],
)
def test_start_weights_are_where_dvc_notices_a_change(weights: str, own: str) -> None:
    changed = with_changes(read_params(SHIPPED), {"model.weights": weights, "model.own_weights": own})
    assert changed.model.names_a_file == ("mine.pth" in weights)


@pytest.mark.parametrize(
    ("weights", "own"),
    [
        ("mine.pth", "data/weights"),
        ("data/weights2/mine.pth", "data/weights"),
        ("data/mine.pth", "data/weights"),
        ("data/weights/../mine.pth", "data/weights"),
        ("elsewhere/other.pth", "elsewhere/mine.pth"),
    ],
)
def test_start_weights_elsewhere_are_refused(weights: str, own: str) -> None:
    with pytest.raises(ParamsError, match=r"model\.weights is .* and lies outside own_weights \("):
        with_changes(read_params(SHIPPED), {"model.weights": weights, "model.own_weights": own})


@pytest.mark.parametrize("key", ["train.lr", 3])
def test_a_dotted_or_numeric_key_belongs_to_where_it_stands(key: object, write: Write) -> None:
    path = write("seed", 0)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{key}: 1\n")
    assert refusal(path).startswith(f"params.yaml: {key} is not a key of the file, which has seed, data,")


def test_a_misspelt_key_is_named_and_not_what_it_should_have_been(write: Write) -> None:
    path = write("train.lrr", 0.001)
    path.write_text(path.read_text("utf-8").replace("  lr: 0.001\n", "", 1), encoding="utf-8")
    assert refusal(path).startswith("params.yaml: lrr is not a key of train, which has epochs, batch_size,")


def test_a_date_is_called_one(write: Write) -> None:
    assert (
        refusal(write("seed", date(2024, 1, 2)))
        == "params.yaml: seed is the date 2024-01-02, but must be a whole number."
    )


def test_a_missing_key_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content = load(SHIPPED)
    del content["train"]["augment"]["flip"]
    Path("params.yaml").write_text(written(content), encoding="utf-8")
    assert refusal(Path("params.yaml")) == "params.yaml: train.augment.flip is missing."


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "params.yaml: the file is empty, but must be a section of keys with values."),
        (b"- 1\n- 2\n", "params.yaml: the file is [1, 2], but must be a section of keys with values."),
        (b"seed: 0\ntrain: [\n", "params.yaml is not YAML at line 3."),
        (b"seed: \xff\n", "params.yaml is not YAML, as it is not in UTF-8."),
        (b"seed: 2020-13-45\n", "params.yaml is not YAML (month must be in 1..12)."),
        (b"seed: 1\ntrain: {}\nseed: 1\n", "params.yaml is not YAML at line 3 (this key is there twice)."),
        (b"seed: !!bool abc\n", "params.yaml is not YAML."),
        (
            b"seed: !!timestamp abc\n",
            'params.yaml is not YAML at line 1 (failed to construct timestamp from "abc").',
        ),
    ],
)
def test_a_file_of_another_kind_is_one_sentence(
    content: bytes, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_bytes(content)
    assert refusal(Path("params.yaml")) == sentence


def test_an_absent_file_names_the_folder_to_be_in() -> None:
    sentence = "nowhere/params.yaml does not exist; run the command in the folder that holds dvc.yaml."
    assert refusal(Path("nowhere/params.yaml")) == sentence


@pytest.mark.parametrize(
    "longer", [{"warmup_epochs": 5}, {"frozen_epochs": 5}, {"image_sizes": [64, 96]}, {"patience": 9}], ids=repr
)
def test_phases_longer_than_the_training_yield_to_it(longer) -> None:
    changes = {f"train.{name}": value for name, value in {"epochs": 1, **longer}.items()}
    assert with_changes(read_params(SHIPPED), changes).train.epochs == 1


def _lists(section: dict[str, Any], above: str = "") -> list[str]:
    keys = [(f"{above}{key}", value) for key, value in section.items()]
    inner = [name for key, value in keys if isinstance(value, dict) for name in _lists(value, f"{key}.")]
    return inner + [key for key, value in keys if isinstance(value, list)]


@pytest.mark.parametrize("key", _lists(load(SHIPPED)))
def test_what_dvc_exp_run_writes_into_a_list_can_be_taken_back(tmp_path: Path, key: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(SHIPPED.read_text("utf-8"), encoding="utf-8")
    *sections, name = key.split(".")
    for value in (["a"], [], ["a", "b"], []):
        with modify_yaml(path) as content:  # as DVC does for -S
            section = content
            for part in sections:
                section = section[part]
            section[name] = value
    expected = section = load(SHIPPED)
    for part in sections:
        section = section[part]
    section[name] = []
    assert load(path) == expected
