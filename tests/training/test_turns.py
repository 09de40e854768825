"""Trainings of the same settings, one after the other."""

import threading
from pathlib import Path

from dermascreen.training.turns import discard, locked


def test_a_training_waits_for_another_of_the_same_settings(tmp_path, capsys) -> None:
    folder, ended = tmp_path / "checkpoints/1", []
    first = locked(folder)
    waiting = threading.Thread(target=lambda: ended.append(locked(folder)))
    waiting.start()
    waiting.join(0.5)
    assert not ended
    discard(folder, first)  # as a training does when it has ended
    first.release()
    waiting.join(60)
    assert ended
    assert Path(first.lock_file).exists()  # that of the second
    assert capsys.readouterr().out == "train: waits for another training of the same settings and data to end\n"


def test_checkpoints_that_a_training_uses_are_not_discarded(tmp_path) -> None:
    folder = tmp_path / "checkpoints/1"
    lock = locked(folder)
    folder.mkdir()
    (folder / "last.ckpt").touch()
    discard(folder)
    assert (folder / "last.ckpt").exists()
    assert Path(lock.lock_file).exists()
    lock.release()
    discard(folder)
    assert [*folder.parent.iterdir()] == []
    discard(folder)
    assert [*folder.parent.iterdir()] == []
