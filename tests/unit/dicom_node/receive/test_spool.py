from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from dicom_node.errors import SpoolError, SpoolFull, UnreadableInstance
from dicom_node.receive.spool import Spool, instance_key, is_valid_uid, sop_uid_of


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("1.2.840.10008.1.1", True),
        ("1.2.840.010.5", True),  # leading zero: seen in the field, harmless as a path
        ("2.25." + "9" * 59, True),
        ("2.25." + "9" * 60, False),
        ("", False),
        (".1", False),
        ("1.", False),
        ("1..2", False),
        ("1.2/../../etc", False),
        ("1.2\n", False),
        ("\u0661.\u0662", False),  # digits, but not ASCII
    ],
)
def test_only_uids_may_become_paths(text: str, valid: bool) -> None:
    assert is_valid_uid(text) is valid


def test_an_accepted_instance_is_in_the_inbox_with_its_bytes(tmp_path: Path) -> None:
    spool = Spool(tmp_path)

    stored = spool.accept("1.2.3", b"head", memoryview(b"body"))

    assert spool.inbox() == [stored.path]
    assert stored.path.read_bytes() == b"headbody"
    assert stored.size_bytes == 8
    assert not list(spool.partial.iterdir())


def test_file_and_directory_are_synced_before_accept_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    synced: list[str] = []
    real = os.fsync

    def record(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", record)  # to see the calls; they are made all the same
    spool.accept("1.2.3", b"x")

    assert [Path(synced[0]).parent, *map(Path, synced[1:])] == [spool.partial, spool.inbox_dir]


def test_the_same_uid_twice_makes_two_files_in_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path)

    first, second = spool.accept("1.2.3", b"a"), spool.accept("1.2.3", b"b")

    assert spool.inbox() == [first.path, second.path]


def test_a_uid_that_is_a_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInstance, match="is not a UID"):
        Spool(tmp_path).accept("../../evil", b"x")


def test_nothing_is_accepted_under_the_reserve(tmp_path: Path) -> None:
    spool = Spool(tmp_path, reserve_bytes=10**18)

    with pytest.raises(SpoolFull, match="reserve") as caught:
        spool.accept("1.2.3", b"x")

    assert caught.value.transient
    assert not spool.inbox()


def test_an_association_that_was_let_in_may_end_within_half_the_reserve(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.reserve_bytes = int(1.5 * spool.free_bytes())

    with pytest.raises(SpoolFull):
        spool.check_space()  # a new one
    spool.accept("1.2.3", b"x")

    assert len(spool.inbox()) == 1


def test_a_failing_fsync_acknowledges_nothing_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)

    def broken(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)  # a broken disk cannot be had otherwise
    with pytest.raises(SpoolError, match=r"1\.2\.3 durable"):
        spool.accept("1.2.3", b"x")

    assert not spool.inbox()
    assert not list(spool.partial.iterdir())


def test_what_was_never_acknowledged_goes_at_start(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    (spool.partial / "left.dcm").write_bytes(b"half")

    assert spool.discard_partial() == 1
    assert not list(spool.partial.iterdir())


def test_an_instance_is_released_or_kept_aside_and_taken_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    kept, odd = spool.accept("1.2.3", b"a"), spool.accept("1.2.4", b"b")

    spool.release(kept.path)
    aside = spool.quarantine(odd.path)

    assert spool.inbox() == []
    assert spool.quarantined() == [aside]
    assert spool.take_back(aside.name)
    assert [path.read_bytes() for path in spool.inbox()] == [b"b"]
    assert not spool.take_back(aside.name)


def test_names_tell_the_order_of_arrival_even_while_the_clock_is_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    first = spool.accept("1.2.3", b"a")
    monkeypatch.setattr("time.time_ns", lambda: 5)

    second = spool.accept("1.2.4", b"b")

    assert spool.inbox() == [first.path, second.path]
    assert sop_uid_of(second.path.name) == "1.2.4"


def test_an_object_key_keeps_the_name_and_refuses_what_is_no_uid() -> None:
    assert instance_key("1.1", "1.2", "7-1.0-1.2.3.dcm") == "instances/1.1/1.2/7-1.0-1.2.3.dcm"
    with pytest.raises(UnreadableInstance):
        instance_key("1.1", "../1", "7-1.0-1.2.3.dcm")


def test_a_probe_leaves_nothing_and_says_when_the_disk_refuses(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.probe()
    assert list(spool.partial.iterdir()) == []

    shutil.rmtree(spool.partial)
    with pytest.raises(SpoolError):
        spool.probe()


def test_what_arrives_after_a_restart_sorts_last_though_the_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Spool(tmp_path).accept("1.2.3", b"x")
    monkeypatch.setattr("time.time_ns", lambda: 1_000)

    after = Spool(tmp_path).accept("1.2.4", b"x")

    assert after.path.name > before.path.name


def test_names_begin_after_what_is_known_elsewhere(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.begin_after(9_000_000_000_000_000_000)

    stored = spool.accept("1.2.3", b"x")

    assert int(stored.path.name.split("-")[0]) > 9_000_000_000_000_000_000
