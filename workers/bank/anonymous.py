"""Nothing in a bank folder tells who a patient is: digests for identifiers, no such free text.

A digest is HMAC-SHA256 under a salt that never leaves the folder: equal input gives equal
digests, and without the salt a list of patient IDs cannot be tried out against them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Iterable

from workers.errors import BankChangeRefused

SALT_BYTES = 32
DIGEST_LETTERS = 16
PATIENT_LETTERS = 32
LONGEST_TEXT = 300
LONGEST_NAME = 64
LEAST_IDENTIFIER = 3
"""Letters; a shorter identifier would be found in every text."""
LOOKS_LIKE_UID = re.compile(r"\d+(\.\d+){3,}")
LOOKS_LIKE_NUMBER = re.compile(r"\d{6,}")
LOOKS_LIKE_DICOM_NAME = re.compile(r"\w\^\w")


def make_digest(salt: bytes, kind: str, text: str) -> str:
    """A name for `text` that only the holder of the salt can make again."""
    made = hmac.new(salt, f"{kind}:{text}".encode(), hashlib.sha256)
    return made.hexdigest()[:DIGEST_LETTERS]


def patient_text(patient_id: str, study_instance_uid: str) -> str:
    """A text that is equal in all studies with one Patient ID (0010,0020), and is not the ID.

    A digest without a secret: who knows the IDs can find theirs. Without an ID a study stands
    for itself.
    """
    found = patient_id.strip()
    text = f"id:{found}" if found else f"study:{study_instance_uid}"
    return hashlib.sha256(f"pulmonode patient {text}".encode()).hexdigest()[:PATIENT_LETTERS]


def check_text(text: str, where: str, identifiers: Iterable[str] = ()) -> str:
    """The text without outer blanks, when nothing in it may tell who the patient is.

    Parameters
    ----------
    where : str
        The option that it came by, for the message.
    identifiers : iterable of str
        Of the patient and study at hand.

    Raises
    ------
    BankChangeRefused
        If it holds one of them, a UID, a DICOM person name or a long number, or is too long.
    """
    text = " ".join(text.split())
    if len(text) > LONGEST_TEXT:
        raise BankChangeRefused(
            where, f"{len(text)} letters, at most {LONGEST_TEXT} are kept", "shorten it"
        )
    folded = text.casefold()
    known = any(
        len(one) >= LEAST_IDENTIFIER and one.casefold() in folded for one in map(str, identifiers)
    )
    patterns = (LOOKS_LIKE_UID, LOOKS_LIKE_NUMBER, LOOKS_LIKE_DICOM_NAME)
    if known or any(pattern.search(text) for pattern in patterns):
        raise BankChangeRefused(
            where,
            "holds what may tell who the patient is (an identifier, a UID, a long number)",
            "leave it out: it would stay in the bank for ever",
        )
    return text


def check_name(name: str, identifiers: Iterable[str] = ()) -> str:
    """The name of the member of staff who changes something.

    Raises
    ------
    BankChangeRefused
        If there is no name in it, or what `check_text` refuses.
    """
    name = check_text(name, "--by", identifiers)
    if not person_key(name) or len(name) > LONGEST_NAME:
        raise BankChangeRefused("--by", "is no name", "say who you are")
    return name


def person_key(name: str) -> str:
    """Equal for ways to write the same name: letters and digits only, without case."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return "".join(letter for letter in plain if letter.isalnum())
