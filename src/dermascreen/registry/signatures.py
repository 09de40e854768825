"""Signatures of a model's files, by sigstore's model-signing with an elliptic-curve key of one's own.

A signature covers the name and content of every file of the folder, so that a file changed, added or taken away shows.
"""

import os
import re
import sys
import textwrap
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from dermascreen.core.errors import SignatureError

if TYPE_CHECKING:
    from model_signing.hashing import Config
SIGNATURE = Path("model.sig")  # beside the weights of a registered model
PASSWORD = "DERMASCREEN_KEY_PASSWORD"  # noqa: S105 - the name of the variable
CURVES = ("secp256r1", "secp384r1", "secp521r1")  # that model-signing knows
ON_CURVES = f"one of the curves {', '.join(CURVES)}"
KEY_ADVICE = "make one with `openssl ecparam -name prime256v1 -genkey -noout -out key.pem`"
PASSWORD_ADVICE = f"{PASSWORD} holds the password of a key that has one"


def key_of(private_key: Path) -> str:
    """The fingerprint of a private key's public one: the sha256 of that, in PEM. Raises SignatureError."""
    import hashlib  # noqa: PLC0415

    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )

    content, password = _read("--sign", private_key), _password()
    try:
        key = load_pem_private_key(content, password)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if re.search("(?i)password|decrypt", str(error)):
            raise SignatureError(f"--sign: {private_key} cannot be opened ({error}); {PASSWORD_ADVICE}.") from None
        raise SignatureError(f"--sign: {private_key} is not a private key in PEM; {KEY_ADVICE}.") from None
    if not isinstance(key, EllipticCurvePrivateKey) or key.curve.name not in CURVES:
        raise SignatureError(f"--sign: {private_key} is not a key on {ON_CURVES}; {KEY_ADVICE}.")
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(public).hexdigest()


def sign(folder: Path, private_key: Path) -> None:
    """Sign all files of a folder into SIGNATURE. Raises SignatureError if the key cannot be used."""
    from model_signing.signing import Config  # noqa: PLC0415 - slow to import

    signer = Config()  # type: ignore[no-untyped-call]
    try:
        # Its password is annotated as text, and must be bytes.
        signer.use_elliptic_key_signer(private_key=private_key, password=_password())  # type: ignore[arg-type]
    except ValueError as error:
        raise SignatureError(f"--sign: {private_key} cannot sign ({error}); {KEY_ADVICE}.") from None
    signer.set_hashing_config(_files()).sign(folder, folder / SIGNATURE)


def verify(folder: Path, public_key: Path, model: str) -> None:
    """Raise SignatureError unless the files of a folder are those that the owner of `public_key` signed.

    Parameters: `model`, its name for the sentence.
    """
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm  # noqa: PLC0415
    from model_signing.verifying import Config  # noqa: PLC0415 - slow to import

    _read("--verify", public_key)
    if not (folder / SIGNATURE).is_file():
        raise SignatureError(f"{model} has no {SIGNATURE}; `dermascreen register --sign` makes one in the registry.")
    verifier = Config()  # type: ignore[no-untyped-call]
    try:
        verifier.use_elliptic_key_verifier(public_key=public_key)
    except AttributeError:  # it looks for a curve
        raise SignatureError(f"--verify: {public_key} is not a key on {ON_CURVES}.") from None
    except (ValueError, UnsupportedAlgorithm) as error:
        what = f"a key on {ON_CURVES}" if "curve" in str(error) else "a public key in PEM"
        raise SignatureError(f"--verify: {public_key} is not {what}.") from None
    try:
        with redirect_stdout(sys.stderr):  # where it prints that a signature does not hint at its key
            verifier.set_hashing_config(_files()).verify(folder, folder / SIGNATURE)
    except InvalidSignature:
        raise SignatureError(
            f"the signature of {model} is not of {public_key}, or was changed; do not use it."
        ) from None
    except Exception as error:  # a broken file of JSON raises what its parsers raise
        told = str(error)
        if "Key mismatch" in told:
            raise SignatureError(f"{model} was signed with another key than that of {public_key}.") from None
        if "is a symlink" in told:
            raise SignatureError(f"{model} is not what was signed (it holds a link); do not use it.") from None
        if difference := _difference(told):
            raise SignatureError(f"{model} is not what was signed ({difference}); do not use it.") from None
        what = textwrap.shorten(told, 200, placeholder=" ...").rstrip(". ")
        raise SignatureError(f"{SIGNATURE} of {model} is damaged ({what}); do not use it.") from error


def _read(option: str, key: Path) -> bytes:
    """A key's file, which model-signing reads again. Raises SignatureError if it cannot be read twice."""
    if not key.exists():
        raise SignatureError(f"{option}: {key} does not exist.")
    if not key.is_file():
        raise SignatureError(f"{option}: {key} is not a file; a pipe or a folder cannot be used.")
    try:
        return key.read_bytes()
    except OSError as error:
        raise SignatureError(f"{option}: {key} cannot be read ({error.strerror}).") from None


def _difference(told: str) -> str:
    """What model-signing says of files that differ, without their digests; empty if it says something else."""
    changed = re.findall(r"Hash mismatch for \\?'(.*?)\\?': ", told)
    others = re.findall(r"(Extra|Missing) files (?:found )?in model '.*?': (.*?)[\"'][\],]", told)
    found = [f"changed: {', '.join(changed)}"] if changed else []
    found += [f"{'added' if kind == 'Extra' else 'missing'}: {names}" for kind, names in others]
    return "; ".join(found)


def _files() -> "Config":
    """What is hashed: all files but the signature, also those that Git would pass over, and no links."""
    from model_signing.hashing import Config  # noqa: PLC0415

    config = Config()  # type: ignore[no-untyped-call]
    return config.set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)


def _password() -> bytes | None:
    return os.environ[PASSWORD].encode() if os.environ.get(PASSWORD) else None
