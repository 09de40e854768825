import hashlib
import json
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from dermascreen.core.errors import SignatureError
from dermascreen.registry.signatures import PASSWORD, SIGNATURE, key_of, sign, verify


@pytest.fixture(autouse=True)
def no_password(monkeypatch) -> None:
    monkeypatch.delenv(PASSWORD, raising=False)


def write_keys(folder: Path, name: str, password: bytes | None = None, key=None) -> tuple[Path, Path]:
    key = key or ec.generate_private_key(ec.SECP256R1())
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture
def model(tmp_path) -> Path:
    folder = tmp_path / "model"
    (folder / "reference").mkdir(parents=True)
    for name in ("weights.safetensors", "reference/a.npy", ".gitignore"):
        (folder / name).write_text(f"content of {name}")
    return folder


def test_what_was_signed_is_accepted_wherever_it_is(model: Path, tmp_path: Path) -> None:
    private, public = write_keys(tmp_path, "key")
    sign(model, private)
    verify(model, public, "it")
    verify(model.rename(tmp_path / "elsewhere"), public, "it")
    assert key_of(private) == hashlib.sha256(public.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["weights.safetensors", "reference/a.npy", ".gitignore"])
def test_a_changed_file_is_named(name: str, model: Path, tmp_path: Path) -> None:
    private, public = write_keys(tmp_path, "key")
    sign(model, private)
    (model / name).write_text("another content")
    with pytest.raises(SignatureError) as raised:
        verify(model, public, "it")
    assert str(raised.value) == f"it is not what was signed (changed: {name}); do not use it."


def test_added_and_missing_files_are_named(model: Path, tmp_path: Path) -> None:
    private, public = write_keys(tmp_path, "key")
    sign(model, private)
    (model / "weights.safetensors").unlink()
    (model / "b.json").write_text("{}")
    (model / "a.json").write_text("{}")
    with pytest.raises(SignatureError) as raised:
        verify(model, public, "it")
    assert str(raised.value) == (
        "it is not what was signed (added: a.json, b.json; missing: weights.safetensors); do not use it."
    )


def test_another_s_signature_is_refused(model: Path, tmp_path: Path) -> None:
    private, _ = write_keys(tmp_path, "key")
    _, other = write_keys(tmp_path, "other")
    sign(model, private)
    with pytest.raises(SignatureError, match=r"^it was signed with another key than that of .*other\.pub\.$"):
        verify(model, other, "it")


def test_a_signature_that_was_tampered_with_is_refused(model: Path, tmp_path: Path) -> None:
    private, public = write_keys(tmp_path, "key")
    sign(model, private)
    signature = (model / SIGNATURE).read_text()
    for broken in (signature[:-10], "", "{}", signature.replace('"payload":"', '"payload":"AAAA')):
        (model / SIGNATURE).write_text(broken)
        with pytest.raises(SignatureError, match=r"^(model\.sig of it is damaged|the signature of it is not of)"):
            verify(model, public, "it")


def test_a_link_is_no_file_that_was_signed(model: Path, tmp_path: Path) -> None:
    private, public = write_keys(tmp_path, "key")
    sign(model, private)
    (model / "weights.safetensors").rename(tmp_path / "weights")
    (model / "weights.safetensors").symlink_to(tmp_path / "weights")
    with pytest.raises(SignatureError, match=r"^it is not what was signed \(it holds a link\); do not use it"):
        verify(model, public, "it")


def test_standard_output_is_left_to_predictions(model: Path, tmp_path: Path, capsys) -> None:
    private, public = write_keys(tmp_path, "key")
    sign(model, private)
    signature = json.loads((model / SIGNATURE).read_text())
    del signature["verificationMaterial"]["publicKey"]["hint"]  # which nobody signs
    (model / SIGNATURE).write_text(json.dumps(signature))
    verify(model, public, "it")
    assert capsys.readouterr().out == ""


def test_without_a_signature_nothing_is_accepted(model: Path, tmp_path: Path) -> None:
    _, public = write_keys(tmp_path, "key")
    with pytest.raises(SignatureError, match=r"it has no model\.sig"):
        verify(model, public, "it")


def test_a_key_with_a_password(model: Path, tmp_path: Path, monkeypatch) -> None:
    private, public = write_keys(tmp_path, "key", b"secret")
    with pytest.raises(SignatureError, match=f"Password was not given.*{PASSWORD}"):
        key_of(private)
    monkeypatch.setenv(PASSWORD, "wrong")
    with pytest.raises(SignatureError, match=PASSWORD):
        key_of(private)
    monkeypatch.setenv(PASSWORD, "secret")
    sign(model, private)
    verify(model, public, "it")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"no key", r"key\.pem is not a private key in PEM; make one with"),
        (b"", r"key\.pem is not a private key in PEM; make one with"),
        (None, r"key\.pem does not exist\.$"),
    ],
)
def test_what_is_no_private_key_is_refused(content: bytes | None, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SignatureError, match=f"^--sign: .*{problem}"):
        key_of(file)


@pytest.mark.parametrize("option", ["--sign", "--verify"])
def test_the_option_of_a_key_that_cannot_be_read_is_named(option: str, model: Path, tmp_path: Path) -> None:
    private, public = write_keys(tmp_path, "key")
    sign(model, private)
    os.mkfifo(tmp_path / "pipe")
    for name, problem in (
        ("none", "does not exist"),
        ("", "is not a file; a pipe or a folder"),
        ("pipe", "is not a file"),
    ):
        with pytest.raises(SignatureError, match=rf"^{option}: {tmp_path}/?{name} {problem}"):
            key_of(tmp_path / name) if option == "--sign" else verify(model, tmp_path / name, "it")
    for content in (b"", b"no key", private.read_bytes()):
        public.write_bytes(content)
        with pytest.raises(SignatureError, match=r"^--verify: .*key\.pub is not a public key in PEM\.$"):
            verify(model, public, "it")


def test_keys_of_other_kinds_are_refused(model: Path, tmp_path: Path) -> None:
    private, public = write_keys(tmp_path, "rsa", key=rsa.generate_private_key(65537, 2048))
    with pytest.raises(SignatureError, match=r"is not a key on one of the curves secp256r1, .*; make one with"):
        key_of(private)
    sign(model, write_keys(tmp_path, "key")[0])
    with pytest.raises(SignatureError, match=r"^--verify: .*rsa\.pub is not a key on one of the curves secp256r1, "):
        verify(model, public, "it")
    private, public = write_keys(tmp_path, "small", key=ec.generate_private_key(ec.SECP192R1()))
    with pytest.raises(SignatureError, match=r"^--verify: .*small\.pub is not a key on one of the curves"):
        verify(model, public, "it")
    with pytest.raises(SignatureError, match="is not a key on one of the curves"):
        key_of(private)
