import errno
import resource

import pytest
import torch

from dermascreen.core.errors import CheckpointError
from dermascreen.training.checkpoints import WholeFiles, read_checkpoint, usable

CONTENT = {"state_dict": {"weight": torch.arange(4000.0)}}


def test_what_is_written_is_read(tmp_path) -> None:
    WholeFiles().save_checkpoint(CONTENT, tmp_path / "last.ckpt")
    WholeFiles().save_checkpoint(CONTENT, tmp_path / "best.ckpt")
    found = read_checkpoint(tmp_path / "last.ckpt")
    assert torch.equal(found["state_dict"]["weight"], CONTENT["state_dict"]["weight"])
    assert usable(tmp_path) == tmp_path / "last.ckpt"


def test_an_empty_folder_has_nothing_to_go_on_from_and_leftovers_go(tmp_path) -> None:
    (tmp_path / ".last.ckpt.17.tmp").write_bytes(b"half")
    assert usable(tmp_path) is None
    assert not list(tmp_path.iterdir())
    assert usable(tmp_path / "absent") is None


def test_what_was_saved_in_the_midst_of_an_epoch_is_not_gone_on_from(tmp_path) -> None:
    for name in ("hpc_ckpt_1.ckpt", "hpc_ckpt_2.ckpt"):
        (tmp_path / name).write_bytes(b"where Slurm ended it")
    assert usable(tmp_path, leads=False) is None
    assert len(list(tmp_path.iterdir())) == 2  # which only the process that leads deletes
    assert usable(tmp_path) is None
    assert not list(tmp_path.iterdir())


def spoil(content: bytes, how: str) -> bytes:
    middle = len(content) // 2
    return {
        "empty": b"",
        "cut": content[:middle],
        "text": b"not a checkpoint",
        "flipped": content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :],
    }[how]


@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
@pytest.mark.parametrize("how", ["empty", "cut", "text", "flipped"])
def test_a_damaged_checkpoint_is_one_sentence(tmp_path, name: str, how: str) -> None:
    for written in ("last.ckpt", "best.ckpt"):
        WholeFiles().save_checkpoint(CONTENT, tmp_path / written)
    path = tmp_path / name
    path.write_bytes(spoil(path.read_bytes(), how))
    with pytest.raises(CheckpointError, match=f"{name} is not a complete checkpoint; remove"):
        usable(tmp_path)


def test_a_checkpoint_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch) -> None:
    WholeFiles().save_checkpoint(CONTENT, tmp_path / "last.ckpt")

    def refuse(path, *_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("zipfile.ZipFile", refuse)  # since nothing is forbidden to the root user
    with pytest.raises(PermissionError, match=r"last\.ckpt"):
        usable(tmp_path)


def test_another_kind_of_content_is_refused(tmp_path) -> None:
    torch.save([1, 2], tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError):
        usable(tmp_path)
    (tmp_path / "last.ckpt").unlink()
    WholeFiles().save_checkpoint(CONTENT, tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match=r"best\.ckpt"):  # last is never written before the first best
        usable(tmp_path)


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path) -> None:
    path = tmp_path / "last.ckpt"
    WholeFiles().save_checkpoint(CONTENT, path)
    good = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # as a disk with so many bytes left
    try:
        with pytest.raises(OSError, match="File too large") as raised:
            WholeFiles().save_checkpoint(CONTENT, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.errno == errno.EFBIG
    assert raised.value.filename == str(path)
    assert path.read_bytes() == good
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_checkpoint_whose_names_are_no_text_is_one_sentence(tmp_path, monkeypatch) -> None:
    WholeFiles().save_checkpoint(CONTENT, tmp_path / "last.ckpt")

    def undecodable(*_: object, **__: object) -> None:
        b"\xff".decode()

    monkeypatch.setattr(torch, "load", undecodable)
    with pytest.raises(CheckpointError, match="is not a complete checkpoint"):
        read_checkpoint(tmp_path / "last.ckpt")
