"""Passwords: their digests (Argon2id by argon2-cffi, RFC 9106's second choice) and their rules."""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from workers.access_errors import AccessRefused

SHORTEST = 12
"""Characters; NIST SP 800-63B-4, 3.1.1.2 asks for 15 where a password stands alone, 8 otherwise;
guesses are limited here, and the digests are slow."""
LONGEST = 200

_hasher = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
NOBODYS = _hasher.hash("a password of nobody, so that an unknown name takes as long as a known one")


def digest_of(password: str, *, user: str) -> str:
    """Digest of a new password.

    Raises
    ------
    AccessRefused
        If it is too short, too long, or the user's own name.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise AccessRefused(
            f"the password has {len(password)} characters", f"choose {SHORTEST} to {LONGEST}"
        )
    if user.lower() in password.lower() and len(password) < len(user) + SHORTEST:
        raise AccessRefused("the password holds the user's name", "choose another")
    if len(set(password)) < 4:
        raise AccessRefused("the password repeats a few characters", "choose another")
    return _hasher.hash(password)


def matches(password: str, digest: str | None) -> bool:
    """Whether a password is the one of a digest; as slow when there is none."""
    try:
        _hasher.verify(digest or NOBODYS, password)
    except (VerificationError, InvalidHashError):
        return False
    return digest is not None


def is_outdated(digest: str) -> bool:
    """Whether a digest was made with weaker parameters than today's."""
    return _hasher.check_needs_rehash(digest)
