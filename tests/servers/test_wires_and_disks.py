from __future__ import annotations

import contextlib
import errno
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.service import wait_for
from tests.servers.small_disk import SmallDisk
from tests.servers.two_hosts import NODE_ADDRESS, WORKER_ADDRESS, Host, TwoHosts
from tests.servers.wire import TcpProxy, tcp_probes


@pytest.fixture
def hosts() -> Iterator[TwoHosts]:
    with TwoHosts() as both:
        yield both


@pytest.fixture
def echo_port() -> Iterator[int]:
    """A server that sends back what it gets."""

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=[listener.accept()[0]], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def dialled(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def echoed(connection: socket.socket, data: bytes) -> bool:
    connection.sendall(data)
    return received(connection, len(data)) == data


def received(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size and (data := connection.recv(size)):
        found += data
    return found


def test_a_proxy_forwards_until_it_is_cut_and_again_when_mended(echo_port: int) -> None:
    with TcpProxy("127.0.0.1", echo_port) as proxy:
        with dialled(proxy.port) as client:
            assert echoed(client, b"x" * 1_000_000)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
        assert proxy.to_target == proxy.to_client == 1_000_000
        with dialled(proxy.port) as client:
            assert echoed(client, b"x")
            proxy.cut()
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        with pytest.raises(ConnectionRefusedError):
            dialled(proxy.port)
        proxy.mend()
        with dialled(proxy.port) as client:
            assert echoed(client, b"x")
        assert proxy.count == 3
    assert proxy.open == 0
    with pytest.raises(ConnectionRefusedError):
        dialled(proxy.port)


def test_a_frozen_proxy_takes_connections_but_passes_nothing_on(echo_port: int) -> None:
    with TcpProxy("127.0.0.1", echo_port) as proxy, dialled(proxy.port) as old:
        assert echoed(old, b"x")
        proxy.freeze()
        with dialled(proxy.port) as new:
            for client in (old, new):
                client.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    echoed(client, b"held back")
            proxy.mend()
            for client in (old, new):
                client.settimeout(5)
                assert received(client, 9) == b"held back"


def test_a_proxy_delays_and_cuts_after_some_bytes_once(echo_port: int) -> None:
    with TcpProxy("127.0.0.1", echo_port) as proxy:
        proxy.delay(0.1)
        with dialled(proxy.port) as client:
            start = time.monotonic()
            assert echoed(client, b"x")
            assert time.monotonic() - start >= 0.2
        proxy.delay(0)
        before = proxy.to_target
        proxy.cut_after(100_000)
        with dialled(proxy.port) as client, pytest.raises(ConnectionError):
            echoed(client, bytes(1_000_000))
        assert proxy.to_target - before == 100_000
        with dialled(proxy.port) as client:
            assert echoed(client, bytes(200_000))


def test_a_wire_freezes_in_the_middle_of_what_is_sent(echo_port: int) -> None:
    with TcpProxy("127.0.0.1", echo_port) as proxy:
        proxy.freeze_after(40)
        with dialled(proxy.port) as client:
            client.sendall(bytes(100))
            wait_for(lambda: proxy.to_target, limit_s=5, message="the wire carries something")
            client.settimeout(0.3)
            with pytest.raises(TimeoutError):
                client.recv(1)
            assert proxy.to_target == 40
            proxy.mend()
            client.settimeout(5)
            assert client.recv(1) == bytes(1)
            wait_for(lambda: proxy.to_target == 100, limit_s=5, message="the rest goes on")


def test_probes_knock_and_go_away(echo_port: int) -> None:
    with TcpProxy("127.0.0.1", echo_port) as proxy:
        assert tcp_probes("127.0.0.1", proxy.port, 90) == 90
        wait_for(lambda: proxy.open == 0, limit_s=5, message="all probes are gone")
        assert proxy.count == 90
    assert tcp_probes("127.0.0.1", proxy.port, 9) == 0


TALK = (
    "import socket; s = socket.create_server(('10.203.0.1', 4000)); print('up', flush=True)\n"
    "while True: s.accept()[0].close()"
)
DIAL = "import socket; socket.create_connection(('10.203.0.1', 4000), 1).close()"


def reaches(hosts: TwoHosts, host: Host) -> bool:
    dialling = hosts.run(host, [sys.executable, "-c", DIAL], stdout=subprocess.DEVNULL)
    return dialling.wait() == 0


def test_two_hosts_reach_each_other_unless_cut(hosts: TwoHosts) -> None:
    talking = hosts.run("node", [sys.executable, "-c", TALK], stdout=subprocess.PIPE)
    assert talking.stdout is not None
    try:
        with talking.stdout as output:
            assert output.readline() == b"up\n"
        assert reaches(hosts, "worker")
        for part in (hosts.cut, hosts.swallow):
            part()
            assert not reaches(hosts, "worker")
            assert reaches(hosts, "node")
            hosts.mend()
            assert reaches(hosts, "worker")
    finally:
        talking.kill()
        talking.wait()
    hosts.close()
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    assert not set(hosts.names.values()) & set(listed.stdout.split())


def test_a_thread_inside_a_host_has_its_sockets_there(hosts: TwoHosts) -> None:
    with hosts.inside("node"):
        listener = socket.create_server((NODE_ADDRESS, 0))
    with listener:
        address = listener.getsockname()
        with pytest.raises(OSError, match="assign requested address"):
            socket.create_server((NODE_ADDRESS, 0))  # this thread is back where it was
        with hosts.inside("worker"):
            calling = socket.create_connection(address, timeout=5)
        with calling:
            assert calling.getsockname()[0] == WORKER_ADDRESS


def test_a_host_without_power_runs_nothing(hosts: TwoHosts) -> None:
    sleeping = [hosts.run("worker", ["sleep", "600"]) for _ in range(3)]
    running = hosts.run("node", ["sleep", "600"])
    wait_for(lambda: len(hosts.processes("worker")) == 3, limit_s=10, message="they run")

    assert hosts.power_off("worker") == 3

    assert [process.wait(timeout=10) for process in sleeping] == [-signal.SIGKILL] * 3
    assert running.poll() is None
    running.kill()
    running.wait()


def test_a_small_disk_gets_full_and_read_only(tmp_path: Path) -> None:
    with SmallDisk(tmp_path / "disk", 4) as disk:
        kept = disk.folder / "kept"
        disk.fill(leave_bytes=1_000_000)
        assert 900_000 < disk.free_bytes <= 1_000_000
        disk.fill()
        with pytest.raises(OSError, match="No space") as full:
            kept.write_bytes(b"x")
        assert full.value.errno == errno.ENOSPC
        disk.free()
        kept.write_bytes(b"x" * 2_000_000)

        def refused() -> bool:
            with pytest.raises(OSError, match="Read-only") as failed:
                kept.open("ab").close()
            return failed.value.errno == errno.EROFS

        disk.read_only()
        assert refused()
        disk.writable()
        with kept.open("ab", buffering=0) as still_open:
            disk.read_only()
            assert refused()
            still_open.write(b"x")
            disk.writable()
        assert kept.stat().st_size == 2_000_001
    assert not list((tmp_path / "disk").iterdir())
