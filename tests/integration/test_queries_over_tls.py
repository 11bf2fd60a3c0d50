"""What we ask a PACS over TLS: counts and identity, and earlier CTs by C-GET and C-MOVE."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from dicom_node.deliver.peer import Peer, associated, echo
from dicom_node.deliver.scu import read_outgoing, storage_contexts, store_all
from dicom_node.errors import PeerUnreachable, TlsUnusable
from dicom_node.query.prior import find_prior_series
from dicom_node.query.retrieve import MoveDestination, _listening, _Slices, fetch_series
from dicom_node.query.series import find_series_instance_count
from dicom_node.read.ct_series import CtSeries
from dicom_node.read.header import Identity
from dicom_node.read.series import load_ct_series
from dicom_node.tls import TlsFiles
from tests.integration.bad_series import save
from tests.integration.service import free_port
from tests.integration.tls_peers import (
    Keys,
    calling,
    orthanc,
)
from tests.migrated import migrated_application
from tests.unit.workers.test_find_prior import SLICES, current, dates, of_patient
from workers.doctor import _peers
from workers.settings import Settings
from workers.usecases import fetch_prior as fetching
from workers.usecases.echo import echo_destination
from workers.usecases.fetch_prior import fetch_prior

pytestmark = pytest.mark.peer
TITLE = "PRIORS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """An Orthanc that speaks TLS alone, with an earlier CT of the patient."""

    port: int
    move_port: int
    now: CtSeries

    def peer(self, keys: Keys) -> Peer:
        return Peer(
            ae_title="ORTHANC", host="127.0.0.1", port=self.port, tls=calling(keys, keys.ours)
        )


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Iterator[Archive]:
    folder = tmp_path_factory.mktemp("archive")
    move_port = free_port()
    with orthanc(folder, keys, move_port, TITLE) as (dicom_port, _):
        found = Archive(port=dicom_port, move_port=move_port, now=current(folder))
        objects = [
            read_outgoing(path)
            for path in save(of_patient("old", **dates("20250301")), folder / "old")
        ]
        there = found.peer(keys)
        with associated(there, "PULMONODE", storage_contexts(objects)) as assoc:
            assert len(list(store_all(assoc, there, objects))) == SLICES
        yield found


def ours(keys: Keys) -> TlsFiles:
    return TlsFiles(
        certificate=keys.ours.certificate, key=keys.ours.key, authorities=keys.hospital.file
    )


def test_an_earlier_ct_is_found_and_comes_by_c_get_and_by_c_move_over_tls(
    archive: Archive,
    keys: Keys,
    tmp_path: Path,
) -> None:
    there = archive.peer(keys)
    (found,) = find_prior_series(there, "PULMONODE", Identity.from_dataset(archive.now.headers[0]))
    count = find_series_instance_count(
        there, "PULMONODE", study_uid=found.study_uid, series_uid=found.series_uid
    )
    to = MoveDestination(ae_title=TITLE, host="127.0.0.1", port=archive.move_port, tls=ours(keys))
    series = []
    for name, move_to in (("got", None), ("moved", to)):
        folder = tmp_path / name
        folder.mkdir()
        assert (
            fetch_series(there, "PULMONODE", found, folder, limit_s=60, move_to=move_to) == SLICES
        )
        series.append(load_ct_series(sorted(folder.iterdir())))

    assert count == SLICES
    assert np.array_equal(series[0].hu, series[1].hu)


def test_in_clear_text_the_archive_answers_nothing(archive: Archive) -> None:
    plain = Peer(ae_title="ORTHANC", host="127.0.0.1", port=archive.port, connect_timeout_s=5)

    with pytest.raises(PeerUnreachable):
        find_prior_series(plain, "PULMONODE", Identity.from_dataset(archive.now.headers[0]))


def test_the_listener_for_c_move_shakes_hands_with_nobody_without_a_certificate(
    keys: Keys,
    tmp_path: Path,
) -> None:
    to = MoveDestination(ae_title=TITLE, host="127.0.0.1", port=free_port(), tls=ours(keys))

    with _listening(to, _Slices(tmp_path, "1.2.3"), deadline=0.0):
        silent = socket.create_connection((to.host, to.port))  # holds up nobody
        for tls in (None, calling(keys, None)):
            with pytest.raises(PeerUnreachable):
                echo(Peer(ae_title=TITLE, host=to.host, port=to.port, tls=tls), "ANYBODY")
        silent.close()


def test_a_listener_whose_certificate_is_missing_says_so(
    archive: Archive,
    keys: Keys,
    tmp_path: Path,
) -> None:
    to = MoveDestination(
        ae_title=TITLE, host="127.0.0.1", port=free_port(),
        tls=TlsFiles(certificate=tmp_path / "none.pem", key=keys.ours.key),
    )  # fmt: skip
    (found,) = find_prior_series(
        archive.peer(keys), "PULMONODE", Identity.from_dataset(archive.now.headers[0])
    )

    with pytest.raises(TlsUnusable, match="is not there"):
        fetch_series(archive.peer(keys), "PULMONODE", found, tmp_path, limit_s=20, move_to=to)


@pytest.mark.parametrize("tls", [True, False])
def test_settings_say_which_peers_are_called_over_tls(
    archive: Archive,
    keys: Keys,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tls: bool,
) -> None:
    monkeypatch.setattr(fetching, "prior_of_folder", lambda *_, **__: "it came")
    there = {"ae_title": "ORTHANC", "host": "127.0.0.1", "port": archive.port, "tls": tls}
    settings = Settings(
        data_dir=tmp_path / "data",
        tls_certificate_file=keys.ours.certificate,
        tls_key_file=keys.ours.key,
        tls_ca_file=keys.hospital.file,
        destinations=[{"name": "archive", **there}],
        pacs_query=there,
        prior_pacs=there,
    )
    app = migrated_application(settings)

    checks = list(_peers(settings))
    button = echo_destination(app, "archive")
    exam, (warning,) = fetch_prior(app, archive.now)
    app.database.close()

    assert [check.ok for check in checks] == [tls] * 3
    assert button.ok is tls
    assert exam is None
    assert warning.endswith("it came" if tls else "the PACS could not be reached")
