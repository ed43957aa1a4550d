"""Keys, signatures and the exact bytes they are over. docs/certificate.md specifies it for whoever checks without us.

Ed25519 (RFC 8032) over the canonical JSON (RFC 8785) of the certificate. The signature stands beside it in one file,
with the public key; whose key that is, the file cannot prove.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from rollover.errors import ProofFailed, Refused

ALGORITHM = "Ed25519"
SCHEMA = "rollover-certificate-of-disposition/1"
DESTRUCTION = "rollover-certificate-of-archive-destruction/1"
SCHEMAS = (SCHEMA, DESTRUCTION)
ATTACHMENT = "certificate.json"
"""What the signed JSON is called that is attached to a PDF."""
LAST_LINE = b"%Rollover-Ed25519 "
"""What a PDF's last line begins with; behind it is base64 of a signature over every byte before that line."""
DO_NOT_RELY = "do not rely on this file; ask who issued it for the file as it was issued."


@dataclass(frozen=True)
class Signed:
    """A certificate whose signature matches the public key in its file. `sha256` is that of the whole file."""

    certificate: dict[str, Any]
    public_key: Ed25519PublicKey
    signature: str
    sha256: str

    @property
    def key_id(self) -> str:
        return key_id(self.public_key)


def new_key(path: Path) -> Ed25519PublicKey:
    """Make a private key in a new file that only its owner may read. Raises Refused if there is a file."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        there = isinstance(error, FileExistsError)
        raise Refused(
            f"{path} {'exists: a key is never overwritten' if there else f'cannot be written: {error.strerror}'}.",
            "name another file.",
        ) from None
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(pem)
    return key.public_key()


def read_key(path: Path | None) -> Ed25519PrivateKey:
    """The key that certificates are signed with. Raises Refused if there is none that can be used."""
    if path is None:
        raise Refused(
            "There is no key to sign certificates with: ROLLOVER_SIGNING_KEY is not set.",
            "make one with `rollover certificate keygen FILE`, name the file in ROLLOVER_SIGNING_KEY wherever tasks "
            "run, then clear this task.",
        )
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise Refused(
            f"The signing key {path} cannot be read: {error.strerror}.", "fix it, then clear this task."
        ) from None
    except (TypeError, ValueError, UnsupportedAlgorithm):  # their texts may speak of what is in the file
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise Refused(
            f"{path} holds no private Ed25519 key in PEM without a passphrase.",
            "name the file that `rollover certificate keygen` made, then clear this task.",
        )
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """A public key in PEM, as the issuer published it. Raises Refused for anything else."""
    try:
        return _public_key(path.read_bytes())
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}.", "name a file that can.") from None
    except ValueError:
        raise Refused(f"{path} holds no public Ed25519 key in PEM.", "ask the issuer for its public key.") from None


def public_pem(key: Ed25519PublicKey) -> str:
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem.decode("ascii")


def key_id(key: Ed25519PublicKey) -> str:
    """SHA-256 of the public key's DER form (SubjectPublicKeyInfo), in hex."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def canonical(value: Any) -> bytes:
    """The canonical JSON of a value, RFC 8785. Raises TypeError for a float: its form is a matter of its own."""
    _refuse_floats(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sign(certificate: dict[str, Any], key: Ed25519PrivateKey) -> bytes:
    """The file of a signed certificate: ``{"certificate": …, "signature": …}``, in the one form that is accepted."""
    public = key.public_key()
    signature = {
        "algorithm": ALGORITHM,
        "key_id": key_id(public),
        "public_key": public_pem(public),
        "value": base64.b64encode(key.sign(canonical(certificate))).decode("ascii"),
    }
    return _printed({"certificate": certificate, "signature": signature})


def opened(content: bytes) -> Signed:
    """Read a signed certificate. Raises ProofFailed if a byte of it is other than as it was issued."""
    try:
        envelope = json.loads(content)
        certificate, said = envelope["certificate"], envelope["signature"]
        public = _public_key(said["public_key"].encode("ascii"))
        signature = base64.b64decode(said["value"], validate=True)
        signed = canonical(certificate)
        as_issued = _printed({"certificate": certificate, "signature": said})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise ProofFailed("This is no signed certificate of disposition.", DO_NOT_RELY) from None
    try:
        public.verify(signature, signed)
    except InvalidSignature:
        raise ProofFailed(
            "The signature does not fit: the certificate, its signature or its key was changed.", DO_NOT_RELY
        ) from None
    expected = {"algorithm": ALGORITHM, "key_id": key_id(public), "public_key": public_pem(public)}
    if as_issued != content or said != {**expected, "value": base64.b64encode(signature).decode("ascii")}:
        raise ProofFailed(
            "The signature fits what the file says, but the file is not byte for byte as it was issued.", DO_NOT_RELY
        )
    if not isinstance(certificate, dict) or certificate.get("schema") not in SCHEMAS:
        raise ProofFailed(
            f"This is signed, but no {' or '.join(SCHEMAS)}.", "check it with the version that issued it."
        )
    return Signed(certificate, public, said["value"], hashlib.sha256(content).hexdigest())


def _printed(envelope: dict[str, Any]) -> bytes:
    return json.dumps(envelope, sort_keys=True, indent=2, ensure_ascii=False).encode() + b"\n"


def _public_key(pem: bytes) -> Ed25519PublicKey:
    try:
        key = serialization.load_pem_public_key(pem)
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from None
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("not an Ed25519 key")
    return key


def _refuse_floats(value: Any) -> None:
    if isinstance(value, float):
        raise TypeError("a certificate holds whole numbers and text only")
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _refuse_floats(part)
