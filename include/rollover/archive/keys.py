"""Manages the keys that archived files are encrypted with, one per tenant. Only the key's file has the key: deleting
that file makes every copy of the tenant's encrypted files unreadable.

Files are encrypted by Parquet Modular Encryption (AES-GCM, footer and all columns). Each has a data key of its own,
which its footer contains, encrypted with the tenant's key.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet.encryption as pe
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from rollover.errors import ProofFailed, Refused
from rollover.ledger.receipts import ArchiveReceipt

if TYPE_CHECKING:
    import pyarrow.dataset as ds

ALGORITHM = "AES_GCM_V1"
KEY_BYTES, NONCE_BYTES = 32, 12
SETTING = "ROLLOVER_ARCHIVE_KEYS"


@dataclass(frozen=True)
class Key:
    """One tenant's key. `id` identifies it without revealing it: the first digits of its SHA-256."""

    secret: bytes = field(repr=False)

    @cached_property
    def id(self) -> str:
        return hashlib.sha256(self.secret).hexdigest()[:16]

    def encrypting(self) -> Any:
        """Return the encryption properties for writing one file."""
        how = pe.EncryptionConfiguration(
            footer_key=self.id,
            uniform_encryption=True,
            encryption_algorithm=ALGORITHM,
            double_wrapping=False,
            data_key_length_bits=8 * KEY_BYTES,
        )
        return self._factory.file_encryption_properties(_NO_SERVER, how)

    def decrypting(self) -> Any:
        """Return the decryption properties for reading one file."""
        return self._factory.file_decryption_properties(_NO_SERVER, pe.DecryptionConfiguration())

    def decrypting_many(self) -> ds.ParquetFileFormat:
        """Return how a dataset reads its files."""
        import pyarrow.dataset as ds  # brings pandas: half a second, and only a query needs it

        how = ds.ParquetDecryptionConfig(self._factory, _NO_SERVER, pe.DecryptionConfiguration())
        return ds.ParquetFileFormat(default_fragment_scan_options=ds.ParquetFragmentScanOptions(decryption_config=how))

    @cached_property
    def _factory(self) -> pe.CryptoFactory:
        return pe.CryptoFactory(lambda _: _Wrapping(self.secret))


class _Wrapping(pe.KmsClient):  # type: ignore[misc]  # pyarrow has no types
    """Encrypts the data keys of files with a tenant's key, bound to its id."""

    def __init__(self, secret: bytes) -> None:
        super().__init__()
        self._cipher = AESGCM(secret)

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, key_bytes, master_key_identifier.encode()))

    def unwrap_key(self, wrapped_key: bytes, master_key_identifier: str) -> bytes:
        wrapped = base64.b64decode(wrapped_key)
        try:
            return self._cipher.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], master_key_identifier.encode())
        except InvalidTag:
            raise ProofFailed(
                f"A file is encrypted with the key {master_key_identifier}, but another key was given.",
                "restore the file that was written, or its key.",
            ) from None


_NO_SERVER = pe.KmsConnectionConfig()


@dataclass(frozen=True)
class Keys:
    """The folder with the tenants' keys. Without it, nothing is encrypted, and encrypted files cannot be read."""

    folder: Path | None

    def to_write(self, tenant_id: str) -> Key | None:
        """The key that the tenant's files are encrypted with; None if the deployment encrypts nothing.

        Raises Refused if it should have a key, but no usable one exists.
        """
        return None if self.folder is None else self.of(tenant_id)

    def of(self, tenant_id: str) -> Key:
        """The tenant's key. Raises Refused if no usable one exists."""
        return _read(self.path(tenant_id))

    def to_read(self, tenant_id: str, key_id: str | None) -> Key | None:
        """The key with the id `key_id`; None if that is None: the file is not encrypted.

        Raises Refused if the key is missing.
        """
        if key_id is None:
            return None
        missing = f"The archive of {tenant_id} is encrypted with the key {key_id}, which is not there"
        if self.folder is None:
            raise Refused(f"{missing}: {SETTING} is not set.", f"set {SETTING} to the folder with the keys.")
        key = _read(self.path(tenant_id), missing)
        if key.id != key_id:
            raise Refused(
                f"{missing}: {self.path(tenant_id)} holds the key {key.id}.",
                "restore the key from its backup. If it was destroyed, the archive cannot be read by anybody.",
            )
        return key

    def make(self, tenant_id: str) -> Key:
        """Make a tenant's key, in a new file that only its owner may read. Raises Refused if the tenant has a key."""
        path, key = self.path(tenant_id), Key(secrets.token_bytes(KEY_BYTES))
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            there = isinstance(error, FileExistsError)
            raise Refused(
                f"{path} {'exists: a key is never overwritten' if there else f'cannot be written: {error.strerror}'}.",
                "keep the key that is there." if there else f"fix it, or set {SETTING} to another folder.",
            ) from None
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(f"{key.secret.hex()}\n".encode())
            stream.flush()
            os.fsync(stream.fileno())
        return key

    def path(self, tenant_id: str) -> Path:
        if self.folder is None:
            raise Refused(f"{SETTING} is not set.", "set it to the folder with the keys of archives.")
        return self.folder / f"{tenant_id}.key"


def unreadable(receipts: Iterable[ArchiveReceipt], keys: Keys) -> list[str]:
    """Why archived files cannot be decrypted, one sentence per missing key; empty if every file has its key."""
    found = []
    for tenant_id, key_id in sorted({(receipt.tenant_id, receipt.key_id) for receipt in receipts}, key=str):
        try:
            keys.to_read(tenant_id, key_id)
        except Refused as error:
            found.append(error.reason)
    return found


def _read(path: Path, missing: str | None = None) -> Key:
    """The key in a file. Error messages never quote the file."""
    try:
        mode = path.stat().st_mode
        said = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise Refused(
            f"{missing or f'The archive of {path.stem} has no key'}: {path} cannot be read: {error.strerror}.",
            "restore the key from its backup; for a tenant that never had one: `rollover archive keygen`.",
        ) from None
    if mode & 0o077:
        raise Refused(f"{path} may be read by others than its owner.", f"chmod 600 {path}, and find out who read it.")
    if not re.fullmatch(rf"[0-9a-f]{{{2 * KEY_BYTES}}}", said):
        raise Refused(f"{path} holds no key.", "restore the key from its backup.")
    return Key(bytes.fromhex(said))
