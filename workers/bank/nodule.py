"""A nodule of an analysed study: what ``findings.json`` and its features say of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from inference.grading.table import ModalityTable
from inference.grading.table_file import load_table
from workers.errors import BankChangeRefused

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundNodule:
    """A nodule before it is made anonymous: nothing of this is written anywhere.

    Attributes
    ----------
    patient, tracking_uid : str
    identifiers : frozenset of str
        All that must not be found in a bank's folder.
    row : ModalityTable
        One row.
    about : mapping
        Type, size, level by the model.
    """

    patient: str
    tracking_uid: str
    identifiers: frozenset[str]
    row: ModalityTable
    about: Mapping[str, Any]


def read_nodules(findings: Path) -> dict[int, dict[str, Any]]:
    """The nodules of ``findings.json`` by their number, each with the study's UIDs.

    Raises
    ------
    BankChangeRefused
        If it is something else, or nothing was analysed.
    """
    try:
        found = json.loads(findings.read_bytes())
        if found["schema_version"] != SCHEMA_VERSION or found["status"] != "analysed":
            raise BankChangeRefused(
                str(findings), "is not of an analysed study", "give its findings.json"
            )
        uids = {key: str(found[key]) for key in ("study_instance_uid", "series_instance_uid")}
        return {int(one["id"]): {**uids, **one} for one in found["nodules"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BankChangeRefused(
            str(findings), f"cannot be read: {error}", "give a findings.json of this product"
        ) from error


def read_nodule(findings: Path, number: int, features: Path) -> FoundNodule:
    """One nodule with its features.

    Parameters
    ----------
    findings : Path
        ``findings.json``.
    number : int
        Of the nodule.
    features : Path
        Written by `inference.grading.table_file.save_table`: `nodules` holds tracking UIDs,
        `patients` what is equal for all studies of a person. Ratings are not looked at.

    Raises
    ------
    BankChangeRefused
        If the nodule is not in both, or nothing is known of it.
    """
    nodules = read_nodules(findings)
    if number not in nodules:
        there = ", ".join(str(one) for one in nodules) or "none"
        raise BankChangeRefused(
            str(findings), f"has no nodule {number}", f"choose one of those it has: {there}"
        )
    nodule = nodules[number]
    uid = str(nodule["tracking_uid"])
    row = _row_of(uid, features)
    patient = str(row.patients[0]).strip()
    if not patient:
        raise BankChangeRefused(
            str(features), "does not say whose the nodule is", "analyse the study again"
        )
    _check_values(row, features)
    level = (nodule.get("grade") or {}).get("level")
    return FoundNodule(
        patient=patient,
        tracking_uid=uid,
        identifiers=frozenset(
            {patient, uid, nodule["study_instance_uid"], nodule["series_instance_uid"]}
        ),
        row=row,
        about={
            "type": nodule.get("type"),
            "long_axis_mm": nodule.get("long_axis_mm"),
            "model_level": level,
        },
    )


def _row_of(tracking_uid: str, features: Path) -> ModalityTable:
    try:
        table = load_table(features)
    except (OSError, KeyError, ValueError, BadZipFile, AttributeError) as error:
        raise BankChangeRefused(
            str(features), f"cannot be read: {error}", "give the study's features"
        ) from error
    places = np.flatnonzero(table.nodules == tracking_uid)
    if len(places) != 1:
        raise BankChangeRefused(
            str(features),
            f"has {len(places)} rows for this nodule's tracking UID, one is wanted",
            "give the features of the same analysis as the findings",
        )
    return table.rows(places)


def _check_values(row: ModalityTable, features: Path) -> None:
    if any(np.isinf(values).any() for values in row.features.values()):
        raise BankChangeRefused(
            str(features), "has an infinite value for this nodule", "analyse the study again"
        )
    if not any(bool(row.present(name)[0]) for name in row.modalities):
        raise BankChangeRefused(
            str(features), "knows nothing of this nodule", "a case needs one modality at least"
        )
