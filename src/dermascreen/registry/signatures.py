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

from dermascreen.core.errors import MissingInputError, SignatureError

if TYPE_CHECKING:
    from model_signing.hashing import Config
SIGNATURE = Path("model.sig")  # beside the weights of a registered model
PASSWORD = "DERMASCREEN_KEY_PASSWORD"  # noqa: S105 - the name of the variable
CURVES = ("secp256r1", "secp384r1", "secp521r1")  # that model-signing knows
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

    password = _password()
    try:
        key = load_pem_private_key(private_key.read_bytes(), password)
    except OSError as error:
        raise SignatureError(f"{private_key} cannot be read ({error.strerror}).") from None
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SignatureError(
            f"{private_key} is no private key that can be used ({error}); {PASSWORD_ADVICE}."
        ) from None
    if not isinstance(key, EllipticCurvePrivateKey) or key.curve.name not in CURVES:
        raise SignatureError(f"{private_key} is not a key on one of the curves {', '.join(CURVES)}; {KEY_ADVICE}.")
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
        raise SignatureError(f"{private_key} cannot sign ({error}); {KEY_ADVICE}.") from None
    signer.set_hashing_config(_files()).sign(folder, folder / SIGNATURE)


def verify(folder: Path, public_key: Path, model: str) -> None:
    """Raise SignatureError unless the files of a folder are those that the owner of `public_key` signed.

    Parameters: `model`, its name for the sentence.
    """
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm  # noqa: PLC0415
    from model_signing.verifying import Config  # noqa: PLC0415 - slow to import

    if not public_key.is_file():
        raise MissingInputError(public_key)
    if not (folder / SIGNATURE).is_file():
        raise SignatureError(f"{model} has no {SIGNATURE}; `dermascreen register --sign` makes one in the registry.")
    verifier = Config()  # type: ignore[no-untyped-call]
    try:
        verifier.use_elliptic_key_verifier(public_key=public_key)
    except AttributeError:  # it looks for a curve
        raise SignatureError(f"{public_key} is not an elliptic-curve key.") from None
    except (ValueError, OSError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"{public_key} is no public key that can be used ({error}).") from None
    try:
        with redirect_stdout(sys.stderr):  # where it prints that a signature does not hint at its key
            verifier.set_hashing_config(_files()).verify(folder, folder / SIGNATURE)
    except InvalidSignature:
        raise SignatureError(
            f"the signature of {model} is not of {public_key}, or was changed; do not use it."
        ) from None
    except Exception as error:  # a broken file of JSON raises what its parsers raise
        raise SignatureError(f"{model} is not what was signed ({_difference(str(error))}); do not use it.") from error


def _difference(told: str) -> str:
    """What model-signing says, without the digests of files that changed."""
    changed = re.findall(r"Hash mismatch for \\?'(.*?)\\?': ", told)
    others = re.findall(r"(Extra|Missing) files (?:found )?in model '.*?': (.*?)[\"'][\],]", told)
    found = [f"changed: {', '.join(changed)}"] if changed else []
    found += [f"{'added' if kind == 'Extra' else 'missing'}: {names}" for kind, names in others]
    return "; ".join(found) or textwrap.shorten(told, 200, placeholder=" ...").rstrip(". ")


def _files() -> "Config":
    """What is hashed: all files but the signature, also those that Git would pass over, and no links."""
    from model_signing.hashing import Config  # noqa: PLC0415

    config = Config()  # type: ignore[no-untyped-call]
    return config.set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)


def _password() -> bytes | None:
    return os.environ[PASSWORD].encode() if os.environ.get(PASSWORD) else None
