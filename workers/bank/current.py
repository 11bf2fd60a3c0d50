"""Which bank counts: the site's own, or the one that came with this version."""

from __future__ import annotations

from pathlib import Path

from inference.errors import BankRefused, WeightsRefused
from inference.grading.bank import Bank, load_bank
from inference.grading.stored import NAME
from inference.weights import folder_with, load_weights
from workers.bank.folder import BankFile, BankFolder
from workers.settings import Settings

SHIPPED_FILE = "bank.safetensors"
DIGEST_FACT = "bank_sha256"
"""Of the grader's facts in the manifest: the bank that it was calibrated with."""


def load_current_bank(settings: Settings) -> Bank:
    """The bank that grades are given with.

    Raises
    ------
    BankRefused
        If it is missing, damaged, or no version of a site's folder counts.
    """
    return open_bank(find_current_bank(settings))


def find_current_bank(settings: Settings) -> BankFile:
    """Where it is and what it must be: quick, to see whether it changed.

    A folder without a current version is refused, never replaced by the shipped bank: a disk
    that is not mounted must not change grades in silence.

    Raises
    ------
    BankRefused
        As `load_current_bank`.
    """
    if settings.bank_dir is not None:
        return BankFolder(settings.bank_dir).need_current()
    return find_shipped_bank(settings)


def find_shipped_bank(settings: Settings) -> BankFile:
    """The bank beside the grader's weights.

    Raises
    ------
    BankRefused
        If no grader, or no bank of it, is there.
    """
    remedy = "give a bank's file to 'pulmonode bank init', and set PULMONODE_BANK_DIR"
    try:
        folder = folder_with(NAME, settings.weights_dir)
        weights = load_weights(NAME, folder)
    except WeightsRefused as error:
        raise BankRefused("shipped", f"is not there ({error}): {remedy}") from error
    path = folder / SHIPPED_FILE
    if DIGEST_FACT not in weights.facts:
        raise BankRefused(str(path), f"is not named by the grader's manifest: {remedy}")
    if not path.is_file():
        raise BankRefused(str(path), f"is missing: install this version again, or {remedy}")
    return BankFile(number=0, path=path, sha256=str(weights.facts[DIGEST_FACT]))


def open_bank(file: BankFile) -> Bank:
    """Read a version and check that it is the one wanted.

    Raises
    ------
    BankRefused
        If it is missing or damaged.
    """
    return read_bank(file.path, sha256=file.sha256)


def read_bank(path: Path, *, sha256: str | None = None) -> Bank:
    """As `load_bank`; whatever is wrong with the file is refused with its name.

    Raises
    ------
    BankRefused
        If it is missing, damaged, or no bank.
    """
    try:
        return load_bank(path, sha256=sha256)
    except (AttributeError, ValueError, OSError) as error:
        raise BankRefused(str(path), f"cannot be read: {error}") from error
