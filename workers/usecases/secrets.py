"""Random tokens, and what is kept of them."""

from __future__ import annotations

import hashlib
import hmac
import secrets

TOKEN_BYTES = 32


def new_token() -> str:
    """256 random bits as text that fits into URLs, cookies and headers."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def digest_of_token(token: str) -> str:
    """SHA-256, in hexadecimal: enough for what is random."""
    return hashlib.sha256(token.encode()).hexdigest()


def csrf_token(session_token: str) -> str:
    """What forms of a session carry: follows from its token, and does not give it away."""
    return hmac.new(session_token.encode(), b"csrf", hashlib.sha256).hexdigest()


def equal(one: str, other: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())
