"""Check a certificate's file, JSON or PDF, anywhere: no database, no network, no Airflow."""

from __future__ import annotations

import base64
import binascii
import io

from cryptography.exceptions import InvalidSignature

from rollover.certificate.signing import ATTACHMENT, DO_NOT_RELY, LAST_LINE, Signed, opened
from rollover.errors import ProofFailed


def checked(content: bytes) -> Signed:
    """Read the certificate in a file. Raises ProofFailed if any byte differs from the file that was issued."""
    return _of_pdf(content) if content.startswith(b"%PDF-") else opened(content)


def _of_pdf(content: bytes) -> Signed:
    """The signed JSON that is attached; the whole PDF must be signed with the same key."""
    body, _, last = content.removesuffix(b"\n").rpartition(b"\n")
    body += b"\n"
    try:
        signature = base64.b64decode(last.removeprefix(LAST_LINE), validate=True)
    except binascii.Error:
        signature = b""
    signed = opened(_attached(body, ATTACHMENT))
    try:
        signed.public_key.verify(signature, body)
    except InvalidSignature:
        raise ProofFailed(
            "The PDF was changed, though the certificate that is attached to it was not.", DO_NOT_RELY
        ) from None
    if content != body + LAST_LINE + base64.b64encode(signature) + b"\n":
        raise ProofFailed("The PDF's last line is not as it was issued.", DO_NOT_RELY)
    return signed


def _attached(pdf: bytes, name: str) -> bytes:
    from pypdf import PdfReader

    try:
        (found,) = PdfReader(io.BytesIO(pdf)).attachments[name]
    except Exception:  # whatever a damaged file makes the reader raise
        raise ProofFailed("No certificate is attached to this PDF, or it cannot be read.", DO_NOT_RELY) from None
    return found
