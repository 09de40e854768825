import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_training import PARAMS, TRAIN, with_params

from dermascreen.core.errors import TrainingError
from dermascreen.training import batches
from dermascreen.training.augment import recompress
from dermascreen.training.batches import Part, Schedule, every_once, loader

CPU = torch.device("cpu")


def epoch(count: int, processes: int = 1, epoch: int = 0, seed: int = 0, **changes: object) -> list[list[Part]]:
    """The parts of each step, whoever computes them, in the order that they are cut in."""
    params = with_params(**changes)
    found = []
    for process in range(processes):
        schedule = Schedule(count, params, seed, process, processes)
        schedule.set_epoch(epoch)
        parts = list(schedule)
        assert len(parts) == len(schedule) == schedule.steps * params.accumulate
        starts = range(0, len(parts), params.accumulate)
        found.append([parts[start : start + params.accumulate] for start in starts])
    return [[part for turn in zip(*step, strict=True) for part in turn] for step in zip(*found, strict=True)]


@given(
    count=st.integers(40, 200),
    batch_size=st.integers(16, 40),
    accumulate=st.integers(1, 2),
    processes=st.integers(1, 2),
)
def test_every_image_is_seen_once_in_an_epoch(count: int, batch_size: int, accumulate: int, processes: int) -> None:
    steps = epoch(count, processes, batch_size=batch_size, accumulate=accumulate)
    places = np.concatenate([part.places for step in steps for part in step])
    assert sorted(places) == list(range(count))
    sizes = [sum(len(part.places) for part in step) for step in steps]
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    for step in steps:  # the mean over parts of weight * mean is the mean over images
        whole = sum(len(part.places) for part in step)
        assert [part.weight / len(step) for part in step] == pytest.approx([len(part.places) / whole for part in step])


def test_who_computes_an_image_changes_nothing_about_it() -> None:
    alone = epoch(50, batch_size=13, mixup=0.4)
    for shared in (epoch(50, 2, batch_size=13, mixup=0.4), epoch(50, 1, batch_size=13, accumulate=3, mixup=0.4)):
        for whole, parts in zip(alone, shared, strict=True):
            assert np.array_equal(whole[0].places, np.concatenate([part.places for part in parts]))
            assert np.array_equal(whole[0].draws, np.concatenate([part.draws for part in parts]))
            assert {part.kept for part in parts} == {whole[0].kept}


def test_each_epoch_and_each_seed_has_its_own_order_and_repeats_it() -> None:
    first, again, later, other = epoch(40), epoch(40), epoch(40, epoch=1), epoch(40, seed=1)
    assert np.array_equal(first[0][0].places, again[0][0].places)
    assert np.array_equal(first[0][0].draws, again[0][0].draws)
    for changed in (later, other):
        assert not np.array_equal(first[0][0].places, changed[0][0].places)
        assert not np.array_equal(first[0][0].draws, changed[0][0].draws)


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_the_draws_of_what_there_was_before_zoom_and_blur_are_those_of_before(mixup: float) -> None:
    random = np.random.default_rng([5, 2])
    expected = []
    for places in np.array_split(random.permutation(50), 4):
        draws = random.random((len(places), 8), dtype=np.float32)
        share = random.beta(mixup, mixup) if mixup else 1.0
        expected.append((places, draws, max(share, 1 - share)))
    found = [part for (part,) in epoch(50, epoch=2, seed=5, batch_size=13, mixup=mixup)]
    for part, (places, draws, kept) in zip(found, expected, strict=True):
        assert np.array_equal(part.places, places)
        assert part.draws[:, :8].tobytes() == draws.tobytes()
        assert part.kept == kept
    added = np.concatenate([part.draws[:, 8:] for part in found])
    assert added.shape == (50, 2)
    assert len(np.unique(added)) == 100
    assert added.min() >= 0
    assert added.max() < 1


def test_mixup_keeps_the_larger_share() -> None:
    kept = [part.kept for step in epoch(200, mixup=1.0) for part in step]
    assert min(kept) >= 0.5
    assert np.mean(kept) == pytest.approx(0.75, abs=0.1)  # of the larger of a uniform share and the rest
    assert {part.kept for step in epoch(40) for part in step} == {1.0}


def test_what_cannot_be_divided_is_refused() -> None:
    with pytest.raises(TrainingError, match="some of the 8 parts that it is computed in would have fewer than two"):
        Schedule(40, with_params(batch_size=8, accumulate=2), 0, 0, 4)
    with pytest.raises(TrainingError, match="some of the 4 parts"):
        Schedule(40, with_params(batch_size=7, accumulate=2), 0, 1, 2)


def test_data_smaller_than_a_batch_are_one_batch() -> None:
    ((whole,),) = epoch(40, batch_size=41)
    assert sorted(whole.places) == list(range(40))


def test_val_is_seen_once_whatever_the_number_of_processes() -> None:
    for processes in (1, 2, 3):
        shares = [every_once(21, 4, process, processes) for process in range(processes)]
        places = [place for parts in shares for part in parts for place in part.places]
        assert sorted(places) == list(range(21))
        assert max(len(part.places) for parts in shares for part in parts) <= 4


def test_the_loader_reads_what_the_parts_name() -> None:
    schedule = Schedule(40, with_params(), seed=0)
    for part, batch in zip(schedule, loader(TRAIN, schedule, CPU), strict=True):
        assert np.array_equal(batch.pixels.numpy(), TRAIN.pixels[part.places])
        assert np.array_equal(batch.labels.numpy(), TRAIN.labels[part.places])
        assert np.array_equal(batch.places.numpy(), part.places)
        assert np.array_equal(batch.draws.numpy(), part.draws)
        assert (batch.kept, batch.weight) == (part.kept, part.weight)


def test_the_loader_compresses_what_is_to_learn_and_nothing_else() -> None:
    schedule = Schedule(40, with_params(), seed=0)
    augment, kept = (PARAMS.augment.model_copy(update={"jpeg": quality}) for quality in (30, 100))
    for part, batch in zip(schedule, loader(TRAIN, schedule, CPU, augment), strict=True):
        expected = recompress(TRAIN.pixels[part.places], part.draws, augment)
        assert np.array_equal(batch.pixels.numpy(), expected)
        assert not np.array_equal(expected, TRAIN.pixels[part.places])
    for part, batch in zip(schedule, loader(TRAIN, schedule, CPU, kept), strict=True):
        assert np.array_equal(batch.pixels.numpy(), TRAIN.pixels[part.places])
    frozen = with_params(frozen_epochs=3, frozen_views=1)
    for number, shown in ((0, True), (1, False), (2, False), (3, True)):
        schedule = Schedule(40, frozen, seed=0)
        schedule.set_epoch(number)
        assert {part.shown for part in schedule} == {shown}
        batch = next(iter(loader(TRAIN, schedule, CPU, augment)))
        assert np.array_equal(batch.pixels.numpy(), TRAIN.pixels[batch.places.numpy()]) != shown


def test_a_split_is_copied_to_a_device_piece_by_piece(monkeypatch) -> None:
    monkeypatch.setattr(batches, "CHUNK", 16)
    part = dataclasses.replace(TRAIN, rows=TRAIN.rows[::-1])
    found = batches.resident(part, torch.device("cpu"))
    assert found.dtype == torch.uint8
    assert np.array_equal(found.numpy(), TRAIN.pixels[::-1])
