"""Protects forms against forgery: each carries a token that was signed for the person who sees it."""

from __future__ import annotations

from itsdangerous import BadSignature, URLSafeTimedSerializer

from rollover.web.host import Visitor

FIELD = "token"
LASTS_SECONDS = 12 * 3600
SALT = "rollover.web.forms"


class Forms:
    """Makes and checks the tokens of forms."""

    def __init__(self, secret: str) -> None:
        self._serializer = URLSafeTimedSerializer(secret, salt=SALT)

    def token(self, visitor: Visitor) -> str:
        """The token of a form that a person sees."""
        return self._serializer.dumps(visitor.id)

    def is_right(self, visitor: Visitor, token: object) -> bool:
        """Whether a token was made for this person within the last hours."""
        try:
            found = self._serializer.loads(token if isinstance(token, str) else "", max_age=LASTS_SECONDS)
        except BadSignature:
            return False
        return bool(found == visitor.id)
