"""A small bank, an analysed study with its features, and a grader that never learned."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from inference.grading.bank import Bank, CaseRecord, make_bank, save_bank
from inference.grading.config import GraphConfig
from inference.grading.network import GraphGrader
from inference.grading.scaling import Scale
from inference.grading.table import ModalityTable
from inference.grading.table_file import save_table
from workers.bank.preview import TrainedGrader

STUDY = "1.2.826.0.1.3680043.8.498.111"
SERIES = "1.2.826.0.1.3680043.8.498.222"
PATIENT = "Muster^Erika"
NAMES = {"roi2d": ("area", "axis"), "report": ("texture",)}


def tracking_uid(nodule: int, study: str = STUDY) -> str:
    return f"{study}.7.{nodule}"


def make_rows(count: int, *, seed: int, patients: list[str], nodules: list[str]) -> ModalityTable:
    random = np.random.default_rng(seed)
    rating = np.array([1.0 + 4.0 * at / max(count - 1, 1) for at in range(count)])
    report = (rating[:, None] + random.normal(0, 0.5, (count, 1))).astype(np.float32)
    report[::4] = np.nan
    return ModalityTable(
        features={
            "roi2d": (rating[:, None] + random.normal(0, 0.5, (count, 2))).astype(np.float32),
            "report": report,
        },
        names=NAMES,
        patients=np.array(patients, dtype=np.str_),
        nodules=np.array(nodules, dtype=np.str_),
        rating=rating,
    )


def make_small_bank(count: int = 24, *, version: str = "first", letter: str = "B") -> Bank:
    names = [f"{letter}-{at:03d}" for at in range(count)]
    rows = make_rows(count, seed=ord(letter), patients=names, nodules=names)
    records = [
        CaseRecord(
            case_id=name,
            patient=f"P{name}",
            rating=float(rating),
            evidence="reader-rated",
            source="made up",
        )
        for name, rating in zip(names, rows.rating, strict=True)
    ]
    return make_bank(version, records, rows)


def write_bank(path: Path, bank: Bank | None = None) -> Path:
    save_bank(bank or make_small_bank(), path)
    return path


def write_study(
    folder: Path, *, study: str = STUDY, patient: str = PATIENT, nodules: int = 2, seed: int = 5
) -> tuple[Path, Path]:
    """``findings.json`` and the features of its nodules."""
    folder.mkdir(parents=True, exist_ok=True)
    uids = [tracking_uid(number, study) for number in range(1, nodules + 1)]
    findings = {
        "schema_version": 1,
        "status": "analysed",
        "study_instance_uid": study,
        "series_instance_uid": SERIES,
        "nodules": [
            {
                "id": number,
                "tracking_uid": uid,
                "type": "solid",
                "long_axis_mm": 8.25,
                "grade": {"level": "III", "suspicion": 0.6},
            }
            for number, uid in enumerate(uids, start=1)
        ],
    }
    (folder / "findings.json").write_text(json.dumps(findings))
    rows = make_rows(nodules, seed=seed, patients=[patient] * nodules, nodules=uids)
    save_table(folder / "features.npz", rows)
    return folder / "findings.json", folder / "features.npz"


def make_untrained_grader(bank: Bank) -> TrainedGrader:
    torch.manual_seed(3)
    config = GraphConfig(
        widths={name: len(columns) for name, columns in NAMES.items()},
        hidden=8, projection=4, heads=2, neighbours=3,
    )  # fmt: skip
    return TrainedGrader(
        networks=(GraphGrader(config).eval(),),
        scale=Scale.fit(bank.table),
        softness=0.25,
        calibrators={},
    )
