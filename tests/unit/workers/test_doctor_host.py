"""What an installer gets wrong on this machine, and how the doctor says it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.mini_pacs import MiniPacs
from tests.unit.workers.rows import with_settings
from workers import doctor_host as module
from workers.application import RESTORE_MARK
from workers.doctor import examine
from workers.doctor_host import clock, data_folder, ports, processor, titles
from workers.peer_settings import DestinationSettings
from workers.settings import Settings
from workers.state.database import Database


@pytest.fixture
def taken() -> Iterator[int]:
    """A port at which something listens that speaks no DICOM."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def destination(name: str, ae_title: str, port: int = 104) -> DestinationSettings:
    return DestinationSettings(name=name, ae_title=ae_title, host="pacs", port=port)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"calling_ae_titles": ("SEVENTEEN_LETTERS",)}, "'SEVENTEEN_LETTERS' is no AE title"),
        ({"destinations": (destination("me", "PULMONODE"),)}, "me has our own AE title"),
        (
            {"destinations": (destination("a", "PACS"), destination("b", "PACS"))},
            "destinations a and b are the same peer",
        ),
    ],
)
def test_ae_titles_that_cannot_work_are_named(
    settings: Settings, changes: dict[str, object], said: str
) -> None:
    (check,) = titles(with_settings(settings, **changes))

    assert check.ok is False
    assert said in check.found


def test_ae_titles_that_may_work_are_listed(settings: Settings) -> None:
    (check,) = titles(settings)

    assert (check.ok, check.found) == (True, "PULMONODE, destinations: MAIN, SECOND")


def test_a_port_of_another_program_is_told_from_our_own_node(
    settings: Settings, taken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign, _ = ports(with_settings(settings, dicom_port=taken))
    ours = MiniPacs(folder=tmp_path / "node", ae_title="PULMONODE")
    ours.start()
    monkeypatch.setattr(module, "ECHO_TIMEOUT_S", 60.0)  # a busy machine is late
    try:
        own, _ = ports(with_settings(settings, dicom_port=ours.port))
    finally:
        ours.stop()

    assert foreign.ok is False
    assert "not our node" in foreign.found
    assert own.ok is True
    assert "answers C-ECHO" in own.found


def test_a_free_port_is_ok_and_a_forbidden_address_says_what_to_set(settings: Settings) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    (first, second) = ports(with_settings(settings, dicom_port=free))
    elsewhere, _ = ports(with_settings(settings, dicom_port=free, host="192.0.2.1"))

    assert first.ok is True
    assert second.what == "console port"
    assert elsewhere.ok is False
    assert "set PULMONODE_DICOM_PORT" in elsewhere.found


@pytest.mark.parametrize(("apart", "ok"), [(60.0, False), (0.1, None)])
def test_a_clock_far_from_the_database_s_is_a_failure(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, apart: float, ok: bool | None
) -> None:
    monkeypatch.setattr(module, "_apart_s", lambda _: apart)

    (check,) = clock(settings)

    assert check.ok is ok or (ok is None and check.ok is True)
    assert f"{apart:+.1f} s from the database's" in check.found


def test_the_processor_is_judged_by_what_it_can(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    info = tmp_path / "cpuinfo"
    info.write_text("model name : old\nflags : fpu sse4_2\n")
    (old,) = processor(info)
    info.write_text("flags : fpu avx2 avx512f\n")
    (new,) = processor(info)

    assert (old.ok, "no AVX2" in old.found) == (None, True)
    assert (new.ok, new.found) == (True, "avx2, avx512f")


def test_a_restore_that_was_cut_off_is_said(settings: Settings) -> None:
    settings.data_dir.mkdir()
    (settings.data_dir / RESTORE_MARK).touch()

    (check,) = data_folder(settings)

    assert check.ok is False
    assert "cut off" in check.found


@pytest.mark.parametrize("url", ["mysql+pymysql://db/pulmonode", "no url at all", "oracle:x"])
def test_a_database_url_that_cannot_be_used_is_a_line_and_no_crash(
    settings: Settings, url: str
) -> None:
    changed = with_settings(settings, state_url=url, destinations=(), console_enabled=False)

    checks = {item.what: item for item in examine(changed)}

    assert checks["state database"].ok is False
    assert "postgresql+psycopg://" in checks["state database"].found


def test_a_database_of_a_newer_release_is_a_line_with_what_to_do(settings: Settings) -> None:
    settings.data_dir.mkdir()
    database = Database(settings.database_url)
    database.migrate()
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    database.close()

    checks = {item.what: item for item in examine(with_settings(settings, destinations=()))}

    assert checks["state database"].ok is False
    assert "install that release" in checks["state database"].found
