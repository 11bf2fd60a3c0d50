"""Earlier CTs from a real Orthanc: found, fetched, refused, and never waited for too long."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_node.deliver.peer import Peer, associated, echo
from dicom_node.deliver.scu import read_outgoing, storage_contexts, store_all
from dicom_node.errors import PeerRefused, PeerUnreachable
from dicom_node.query.prior import PriorSeries, find_prior_series
from dicom_node.query.retrieve import MoveDestination, _listening, _Slices, fetch_series
from dicom_node.read.ct_series import CtSeries
from dicom_node.read.header import Identity
from dicom_node.read.series import load_ct_series
from tests.integration.bad_series import save
from tests.unit.dicom_node.query.test_orthanc import (
    MOVE_TITLE,
    move_port,
    orthanc,  # noqa: F401 - a fixture
)
from tests.unit.workers.rows import with_settings
from tests.unit.workers.test_find_prior import SLICES, current, dates, of_patient
from workers.application import Application
from workers.usecases.fetch_prior import fetch_prior

pytestmark = pytest.mark.peer


@dataclass(frozen=True)
class Archive:
    peer: Peer
    now: CtSeries


@pytest.fixture
def archive(orthanc: Peer, tmp_path: Path) -> Archive:  # noqa: F811
    """Two earlier studies of the patient, a later one, and one of another patient."""
    for key, header in (
        ("old", dates("20240301")),
        ("newer", dates("20251201")),
        ("later", dates("20260401")),
        ("other", dates("20251215") | {"PatientID": "4712"}),
        ("doubtful", dates("20251220") | {"PatientBirthDate": "19610203"}),
    ):
        send(orthanc, of_patient(key, **header), tmp_path / key)
    return Archive(peer=orthanc, now=current(tmp_path))


def send(peer: Peer, datasets: list[Dataset], folder: Path) -> None:
    objects = [read_outgoing(path) for path in save(datasets, folder)]
    with associated(peer, "PULMONODE", storage_contexts(objects)) as assoc:
        assert len(list(store_all(assoc, peer, objects))) == len(objects)


def uid_of(key: str) -> str:
    return str(of_patient(key)[0].StudyInstanceUID)


def test_earlier_ct_of_the_patient_is_found_newest_first_and_fetched_whole(
    archive: Archive, tmp_path: Path
) -> None:
    identity = Identity.from_dataset(archive.now.headers[0])
    folder = tmp_path / "fetched"
    folder.mkdir()

    found = find_prior_series(archive.peer, "PULMONODE", identity)
    count = fetch_series(archive.peer, "PULMONODE", found[0], folder, limit_s=60)

    assert [item.study_uid for item in found] == [uid_of("newer"), uid_of("old")]
    assert count == SLICES
    series = load_ct_series(sorted(folder.iterdir()))
    assert series.study_instance_uid == uid_of("newer")


def newest(archive: Archive) -> PriorSeries:
    identity = Identity.from_dataset(archive.now.headers[0])
    return find_prior_series(archive.peer, "PULMONODE", identity)[0]


def test_where_c_get_is_not_offered_c_move_brings_the_same(
    archive: Archive, tmp_path: Path
) -> None:
    to = MoveDestination(ae_title=MOVE_TITLE, host="127.0.0.1", port=move_port(tmp_path))
    folders = [tmp_path / "got", tmp_path / "moved"]
    for folder, move_to in zip(folders, (None, to), strict=True):
        folder.mkdir()
        count = fetch_series(
            archive.peer, "PULMONODE", newest(archive), folder, limit_s=60, move_to=move_to
        )
        assert count == SLICES

    got, moved = (load_ct_series(sorted(folder.iterdir())) for folder in folders)
    assert got.series_instance_uid == moved.series_instance_uid
    assert np.array_equal(got.hu, moved.hu)
    with socket.create_server((to.host, to.port)):
        pass  # the listener is gone


def test_a_destination_that_the_pacs_does_not_know_is_refused(
    archive: Archive, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    to = MoveDestination(ae_title="STRANGER", host="127.0.0.1", port=port)

    with pytest.raises(PeerRefused, match="C-MOVE"):
        fetch_series(archive.peer, "PULMONODE", newest(archive), tmp_path, limit_s=20, move_to=to)


def test_the_listener_takes_nothing_but_the_series_that_it_waits_for(
    archive: Archive, tmp_path: Path
) -> None:
    to = MoveDestination(ae_title=MOVE_TITLE, host="127.0.0.1", port=move_port(tmp_path))
    stray = save(of_patient("stray")[:1], tmp_path / "stray")
    fetched = tmp_path / "fetched"
    fetched.mkdir()
    slices = _Slices(fetched, newest(archive).series_uid)
    objects = [read_outgoing(path) for path in stray]

    with _listening(to, slices, deadline=0.0):
        here = Peer(ae_title=to.ae_title, host=to.host, port=to.port)
        with (
            associated(here, "ANYBODY", storage_contexts(objects)) as assoc,
            pytest.raises(PeerRefused, match="0xC000"),
        ):
            list(store_all(assoc, here, objects))
        with pytest.raises(PeerUnreachable):
            echo(Peer(ae_title="OTHER", host=to.host, port=to.port), "ANYBODY")
    assert slices.count == 0
    assert list(fetched.iterdir()) == []


def test_a_listener_whose_port_is_taken_gives_up_in_time(archive: Archive, tmp_path: Path) -> None:
    to = MoveDestination(ae_title=MOVE_TITLE, host="127.0.0.1", port=move_port(tmp_path))

    with socket.create_server((to.host, to.port)), pytest.raises(OSError, match="in use"):
        fetch_series(archive.peer, "PULMONODE", newest(archive), tmp_path, limit_s=1, move_to=to)


def test_what_cannot_be_used_or_reached_is_a_warning(
    app: Application, archive: Archive, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        silent = probe.getsockname()[1]

        def fetch(port: int) -> tuple[str, ...]:
            pacs = {"ae_title": "ORTHANC", "host": "127.0.0.1", "port": port, "timeout_s": 2}
            settings = with_settings(app.settings, prior_pacs=pacs)
            object.__setattr__(app, "settings", settings)
            exam, warnings = fetch_prior(app, archive.now)
            assert exam is None
            return warnings

        # The small noise of these series has no lungs in it: fetched, judged and refused.
        refused = fetch(archive.peer.port)
        unreachable = fetch(silent)

    assert refused
    assert all(text.startswith("an earlier CT at the PACS was not compared") for text in refused)
    (told,) = unreachable
    assert told.endswith("the PACS could not be reached")  # no host or port in a report
    del tmp_path


def test_a_pacs_that_sends_less_than_it_said_is_refused(archive: Archive, tmp_path: Path) -> None:
    (first, *_) = find_prior_series(
        archive.peer, "PULMONODE", Identity.from_dataset(archive.now.headers[0])
    )
    promised = PriorSeries(
        study_uid=first.study_uid,
        series_uid=first.series_uid,
        study_date=first.study_date,
        description=first.description,
        slice_count=first.slice_count + 1,
    )

    with pytest.raises(PeerRefused, match="slices came"):
        fetch_series(archive.peer, "PULMONODE", promised, tmp_path, limit_s=60)
