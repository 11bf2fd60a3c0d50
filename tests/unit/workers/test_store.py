"""The object store as a folder and on a real S3 server: the same promises, proved on both."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.service import free_port
from tests.servers.s3 import S3Server
from workers.errors import ObjectChanged, ObjectMissing, StoreUnavailable
from workers.state.store import (
    FolderStore,
    FsspecStore,
    ObjectStore,
    get_content,
    open_store,
    put_content,
)

BUCKET = "pulmonode"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server(free_port()) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        server.make_bucket(BUCKET)
        yield server


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.peer)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "folder":
        return open_store(str(tmp_path / "store"))
    server: S3Server = request.getfixturevalue("s3")
    return open_store(server.url(BUCKET, tmp_path.name))


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.peer)])
def vanished(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """A store whose folder, or bucket, is gone."""
    if request.param == "folder":
        store = open_store(str(tmp_path / "store"))
        (tmp_path / "store").rmdir()
        return store
    request.getfixturevalue("s3")
    return open_store("s3://no-such-bucket/objects")


def test_what_was_kept_is_read_again(store: ObjectStore) -> None:
    store.put_bytes("records/1.2/1.json", b"kept")

    assert store.get_bytes("records/1.2/1.json") == b"kept"
    assert store.exists("records/1.2/1.json")


def test_bytes_under_a_taken_key_replace_what_stood_there(store: ObjectStore) -> None:
    store.put_bytes("records/1.2/1.json", b"old and longer")
    store.put_bytes("records/1.2/1.json", b"new")

    assert store.get_bytes("records/1.2/1.json") == b"new"


def test_a_received_file_is_kept_under_its_key_and_stays_where_it_was(
    store: ObjectStore, tmp_path: Path
) -> None:
    source = tmp_path / "arrived.dcm"
    source.write_bytes(b"instance")

    store.put_file("instances/1/2/a.dcm", source)

    assert store.get_bytes("instances/1/2/a.dcm") == b"instance"
    assert source.read_bytes() == b"instance"


def test_a_file_never_replaces_one_that_is_there(store: ObjectStore, tmp_path: Path) -> None:
    for content in (b"first", b"other"):
        source = tmp_path / f"{content.decode()}.dcm"
        source.write_bytes(content)
        store.put_file("instances/1/2/a.dcm", source)

    assert store.get_bytes("instances/1/2/a.dcm") == b"first"


@pytest.mark.parametrize("kind", ["memory", pytest.param("s3", marks=pytest.mark.peer)])
def test_an_object_that_an_upload_left_torn_is_made_whole(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"memory://{tmp_path.name}"
    if kind == "s3":
        url = request.getfixturevalue("s3").url(BUCKET, tmp_path.name)
    store = open_store(url)
    source = tmp_path / "arrived.dcm"
    source.write_bytes(b"instance")
    store.put_bytes("instances/1/2/a.dcm", b"inst")

    store.put_file("instances/1/2/a.dcm", source)

    assert store.get_bytes("instances/1/2/a.dcm") == b"instance"


def test_a_key_that_is_not_there_is_told_from_a_store_that_is_away(store: ObjectStore) -> None:
    assert not store.exists("results/ab/none.json")
    with pytest.raises(ObjectMissing, match=r"none\.json is not in the object store"):
        store.get_bytes("results/ab/none.json")


def test_keys_below_a_prefix_come_in_the_order_of_arrival(store: ObjectStore) -> None:
    for key in ("instances/9/9/001-x.dcm", "instances/1/1/003-x.dcm", "instances/1/2/002-x.dcm"):
        store.put_bytes(key, b"")
    store.put_bytes("records/1.2/1.json", b"")

    assert store.keys("instances") == [
        "instances/9/9/001-x.dcm",
        "instances/1/2/002-x.dcm",
        "instances/1/1/003-x.dcm",
    ]


def test_a_prefix_under_which_nothing_stands_has_no_keys(store: ObjectStore) -> None:
    assert store.keys("instances") == []


def test_local_files_come_in_the_order_of_the_keys_even_under_equal_names(
    store: ObjectStore, tmp_path: Path
) -> None:
    keys = [f"instances/1/{series}/same.dcm" for series in range(12)]
    for key in keys:
        store.put_bytes(key, key.encode())

    paths = store.local_files(keys, tmp_path / "scratch")

    assert [path.read_text() for path in paths] == keys


def test_a_local_file_that_is_not_there_is_missing_and_may_be_tried_again(
    store: ObjectStore, tmp_path: Path
) -> None:
    store.put_bytes("instances/1/2/a.dcm", b"instance")

    with pytest.raises(ObjectMissing, match=r"b\.dcm") as caught:
        store.local_files(["instances/1/2/a.dcm", "instances/1/2/b.dcm"], tmp_path / "scratch")
    assert caught.value.transient


def test_a_store_that_takes_bytes_passes_its_probe_and_shows_no_key_of_it(
    store: ObjectStore,
) -> None:
    store.probe()

    assert store.keys("instances") == store.keys("records") == []


@pytest.mark.parametrize(
    "use",
    [
        lambda store, _source: store.probe(),
        lambda store, _source: store.put_bytes("records/1/1.json", b"x"),
        lambda store, source: store.put_file("instances/1/2/a.dcm", source),
    ],
    ids=["probe", "put_bytes", "put_file"],
)
def test_a_store_whose_place_is_gone_is_unavailable_not_missing_an_object(
    vanished: ObjectStore, use: Callable[[ObjectStore, Path], None], tmp_path: Path
) -> None:
    source = tmp_path / "arrived.dcm"
    source.write_bytes(b"instance")

    with pytest.raises(StoreUnavailable):
        use(vanished, source)


def test_equal_content_has_one_key(store: ObjectStore) -> None:
    first = put_content(store, b"{}", ".json")
    again = put_content(store, b"{}", ".json")

    assert first == again
    assert store.keys("results") == [first[0]]


def test_content_that_changed_in_the_store_is_not_believed(store: ObjectStore) -> None:
    key, sha256 = put_content(store, b"findings", ".json")
    store.put_bytes(key, b"Findings")

    with pytest.raises(ObjectChanged, match=sha256) as caught:
        get_content(store, key, sha256)
    assert not caught.value.transient


@pytest.mark.peer
def test_an_object_is_what_another_s3_client_reads(s3: S3Server) -> None:
    open_store(s3.url(BUCKET, "others")).put_bytes("records/1.2/1.json", b"kept")

    assert s3.get(BUCKET, "others/records/1.2/1.json") == b"kept"


@pytest.mark.peer
def test_an_s3_store_that_nobody_answers_for_is_unavailable(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from s3fs import S3FileSystem

    del s3  # for its keys
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    S3FileSystem.clear_instance_cache()
    nobody = open_store(f"s3://{BUCKET}/objects")
    S3FileSystem.clear_instance_cache()

    with pytest.raises(StoreUnavailable, match=f"s3://{BUCKET}/objects/records") as caught:
        nobody.get_bytes("records/1.json")
    assert caught.value.transient


def test_the_url_chooses_the_kind_of_store(tmp_path: Path) -> None:
    named = open_store(f"file://{tmp_path}/with%20space")

    assert isinstance(named, FolderStore)
    assert named.root == tmp_path / "with space"
    assert isinstance(open_store("memory://anywhere"), FsspecStore)


def test_a_protocol_that_nobody_knows_is_refused_by_name() -> None:
    with pytest.raises(StoreUnavailable, match="gopher"):
        open_store("gopher://hole/objects")


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StoreUnavailable, match="file"):
        open_store(str(tmp_path / "file" / "store"))


@pytest.fixture
def no_second_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system of its own for the store, to which no link leads."""

    def across_devices(_source: object, _target: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", across_devices)


@pytest.mark.usefixtures("no_second_names")
def test_a_folder_store_copies_where_the_file_system_knows_no_second_names(tmp_path: Path) -> None:
    source = tmp_path / "arrived.dcm"
    source.write_bytes(b"instance")
    store = FolderStore(tmp_path / "store")

    store.put_file("instances/1/2/a.dcm", source)

    kept = tmp_path / "store/instances/1/2/a.dcm"
    assert kept.read_bytes() == b"instance"
    assert kept.stat().st_ino != source.stat().st_ino
    assert list(kept.parent.iterdir()) == [kept]


@pytest.mark.usefixtures("no_second_names")
def test_a_copy_never_replaces_a_file_that_is_there(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    for content in (b"first", b"second"):
        source = tmp_path / "arrived.dcm"
        source.write_bytes(content)
        store.put_file("instances/1/2/a.dcm", source)

    assert store.get_bytes("instances/1/2/a.dcm") == b"first"


def test_what_a_full_disk_cut_short_is_neither_kept_nor_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderStore(tmp_path / "store")
    store.put_bytes("records/1/1.json", b"old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreUnavailable, match="No space left"):
            store.put_bytes("records/1/1.json", b"new")

    assert store.get_bytes("records/1/1.json") == b"old"
    assert store.keys("records") == ["records/1/1.json"]
    assert [path.name for path in (tmp_path / "store/records/1").iterdir()] == ["1.json"]


def test_every_new_folder_and_file_is_forced_to_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced: list[Path] = []
    fsync = os.fsync

    def recording(descriptor: int) -> None:
        forced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    root = tmp_path / "store"
    store = FolderStore(root)
    monkeypatch.setattr(os, "fsync", recording)

    store.put_bytes("records/1.2/1.json", b"kept")

    names = [path for path in forced if path.is_dir()]
    assert names == [root, root / "records", root / "records/1.2"]
    assert [path.parent for path in forced if not path.is_dir()] == [root / "records/1.2"]


def test_what_is_removed_is_gone_and_removing_it_again_is_no_error(store: ObjectStore) -> None:
    for key in ("instances/1/2/a.dcm", "instances/1/2/b.dcm", "instances/1/3/c.dcm"):
        store.put_bytes(key, b"x")

    store.remove(["instances/1/2/a.dcm", "instances/1/2/b.dcm"])
    store.remove(["instances/1/2/a.dcm"])

    assert store.keys("instances") == ["instances/1/3/c.dcm"]


def test_removing_says_when_the_store_is_away(vanished: ObjectStore) -> None:
    with pytest.raises(StoreUnavailable):
        vanished.remove(["instances/1/2/a.dcm"])
