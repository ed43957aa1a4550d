"""The certificate as a PDF for people. The signed JSON is attached to it, and what its pages say is read from there.

The last line of the file is a comment with a signature of its own, over every byte before it, so no page can be
changed either. PDF readers ignore it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rollover.certificate.signing import ATTACHMENT, LAST_LINE
from rollover.pdf.kit import make_pdf

TEMPLATE = Path(__file__).with_name("certificate.typ")


def drawn(content: bytes, key: Ed25519PrivateKey) -> bytes:
    """The PDF of a signed certificate, given as :func:`rollover.certificate.signing.sign` makes it."""
    data = json.loads(content) | {"attached": ATTACHMENT, "sha256": hashlib.sha256(content).hexdigest()}
    issued_at = datetime.fromisoformat(data["certificate"]["issued_at"]["utc"])
    body = make_pdf(TEMPLATE, data, issued_at, content.decode()).rstrip(b"\n") + b"\n"
    return body + LAST_LINE + base64.b64encode(key.sign(body)) + b"\n"
