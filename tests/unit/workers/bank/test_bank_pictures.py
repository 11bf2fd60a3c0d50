"""Pictures of typical cases: what they show, where they are looked for, what is refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.errors import BankRefused
from inference.grading.bank import load_bank
from inference.weights import SHIPPED
from workers.bank.folder import BankFolder
from workers.bank.pictures import (
    SHIPPED_FILE,
    SIDE_PX,
    WIDER,
    cut_picture,
    find_picture,
    keep_picture,
    read_pictures,
    save_pictures,
)
from workers.settings import Settings

GREY = np.arange(SIDE_PX**2, dtype=np.uint32).reshape(SIDE_PX, SIDE_PX).astype(np.uint8)


def test_a_picture_is_the_square_around_the_nodule_whatever_the_pixels_are() -> None:
    hu = np.full((200, 100), -850, dtype=np.int16)
    rows, columns = np.mgrid[:200, :100]
    inside = np.hypot((rows - 120) * 0.5, (columns - 40) * 1.0) <= 10.0
    hu[inside] = 50

    picture = cut_picture(hu, (120.0, 40.0), 20.0, (0.5, 1.0))

    bright = picture > 161  # half way between both: the steps are a 48th of the side
    assert picture.shape == (SIDE_PX, SIDE_PX)
    assert bright.sum() / SIDE_PX**2 == pytest.approx(np.pi / 4 / WIDER**2, rel=0.08)
    assert np.argwhere(bright).mean(axis=0) == pytest.approx([(SIDE_PX - 1) / 2] * 2, abs=0.5)


def test_every_shipped_case_has_a_picture() -> None:
    cases = {record.case_id for record in load_bank(SHIPPED / "bank.safetensors").records}

    drawn = read_pictures(SHIPPED / SHIPPED_FILE)

    assert set(drawn) == cases
    assert len({picture.tobytes() for picture in drawn.values()}) == len(cases)


def test_a_sites_own_case_and_a_shipped_one_have_pictures_and_an_unknown_one_has_none(
    tmp_path: Path,
) -> None:
    case = next(iter(read_pictures(SHIPPED / SHIPPED_FILE)))
    folder = BankFolder(tmp_path / "bank")
    settings = Settings(bank_dir=folder.path)
    keep_picture(folder, "KGH-0001", GREY)

    own, shipped = find_picture(settings, "KGH-0001"), find_picture(settings, case)

    assert shipped is not None
    assert own is not None
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(own))), GREY)
    assert not np.array_equal(np.asarray(Image.open(io.BytesIO(shipped))), GREY)
    for unknown in ("KGH-0002", "K" * 300, "KGH-0001\0"):
        assert find_picture(settings, unknown) is None


@pytest.mark.parametrize("case_id", ["../secret", "{bank}/secret", "a/../../secret"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, case_id: str) -> None:
    folder = BankFolder(tmp_path / "bank")
    (folder.pictures_dir / "a").mkdir(parents=True)
    (folder.path / "secret.png").write_bytes(b"PNG")
    asked = case_id.format(bank=folder.path)

    found = find_picture(Settings(bank_dir=folder.path), asked)

    assert (folder.pictures_dir / f"{asked}.png").is_file()  # where the name itself would lead
    assert found is None


def test_a_damaged_file_of_pictures_is_named(tmp_path: Path) -> None:
    path = tmp_path / SHIPPED_FILE
    save_pictures({"a": GREY}, path, how="by hand")
    path.write_bytes(path.read_bytes()[:100])

    with pytest.raises(BankRefused, match=SHIPPED_FILE):
        read_pictures(path)
