"""A TCP connection that can be cut, frozen and slowed down, and probes of a port scanner."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

CHUNK = 65536
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s


def reset(connection: socket.socket) -> None:
    """Close with RST."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    connection.close()


class TcpProxy:
    """Forwards TCP connections to a target until told otherwise.

    Every order is in effect when its call returns. `count` is how many connections were taken
    so far, `open` how many there are now, `to_target` and `to_client` the bytes passed on.
    """

    def __init__(
        self, target_host: str, target_port: int, port: int = 0, host: str = "127.0.0.1"
    ) -> None:
        self.target = (target_host, target_port)
        self.host = host
        self.count = 0
        self.to_target = 0
        self.to_client = 0
        self._delay_s = 0.0
        self._left: int | None = None  # bytes to the target until the reset, or until it freezes
        self._then_freeze = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._gate = asyncio.Event()
        self._gate.set()
        self._listener = self._bound(port)
        self.port = int(self._listener.getsockname()[1])
        self._accepting: asyncio.Task[None] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire", daemon=True)
        self._thread.start()
        self.mend()

    @property
    def open(self) -> int:
        return len(self._tasks)

    def cut(self) -> None:
        """Reset every connection; refuse new ones."""
        self._do(self._cut())

    def mend(self) -> None:
        """Undo cut and freeze; what a frozen connection held back goes on."""
        self._do(self._mend())

    def freeze(self) -> None:
        """Connections stay, no byte passes; new ones are taken and get no answer.

        The kernel still acknowledges a little of what is sent; `TwoHosts.swallow()` does not.
        """
        self._do(self._freeze())

    def delay(self, seconds_per_chunk: float) -> None:
        """Hold every chunk (64 KiB at most) back for so long; 0: no more."""
        self._delay_s = seconds_per_chunk

    def cut_after(self, n_bytes_to_target: int) -> None:
        """Reset, once, the connection with which so many more bytes reached the target."""
        self._left, self._then_freeze = n_bytes_to_target, False

    def freeze_after(self, n_bytes_to_target: int) -> None:
        """Freeze, once, as soon as so many more bytes reached the target."""
        self._left, self._then_freeze = n_bytes_to_target, True

    def close(self) -> None:
        if self._loop.is_closed():
            return
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._listener.close()

    def _do(self, order: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(order, self._loop).result(timeout=30)

    def _bound(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind((self.host, port))
        return listener

    async def _cut(self) -> None:
        tasks = [*self._tasks, *([self._accepting] if self._accepting else [])]
        self._accepting = None
        self._listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._listener = self._bound(self.port)  # keeps the port, but does not listen

    async def _mend(self) -> None:
        self._gate.set()
        if self._accepting is None:
            self._listener.listen(512)
            self._accepting = asyncio.create_task(self._accept())

    async def _freeze(self) -> None:
        self._gate.clear()

    async def _accept(self) -> None:
        while True:
            client, _ = await self._loop.sock_accept(self._listener)
            client.setblocking(False)
            self.count += 1
            task = asyncio.create_task(self._serve(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: socket.socket) -> None:
        target = socket.socket()
        target.setblocking(False)
        try:
            for end in (client, target):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._gate.wait()
            await self._loop.sock_connect(target, self.target)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(client, target, to_target=True))
                both.create_task(self._pump(target, client, to_target=False))
        except (OSError, ExceptionGroup, asyncio.CancelledError):
            reset(client)
            reset(target)
        finally:
            client.close()
            target.close()

    async def _pump(self, source: socket.socket, sink: socket.socket, *, to_target: bool) -> None:
        while True:
            data = await self._loop.sock_recv(source, CHUNK)
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            await self._gate.wait()
            if not data:
                with contextlib.suppress(OSError):
                    sink.shutdown(socket.SHUT_WR)
                return
            await self._send(sink, memoryview(data), to_target)

    async def _send(self, sink: socket.socket, data: memoryview, to_target: bool) -> None:
        while data:
            await self._gate.wait()
            left = self._left if to_target else None
            try:
                sent = sink.send(data if left is None else data[:left])
            except BlockingIOError:
                await self._writable(sink)
                continue
            data = data[sent:]
            if not to_target:
                self.to_client += sent
                continue
            self.to_target += sent
            if left is not None:
                self._left = left - sent
                if self._left <= 0:
                    self._left = None
                    if self._then_freeze:
                        self._gate.clear()
                        continue
                    raise ConnectionResetError("cut_after")

    async def _writable(self, sink: socket.socket) -> None:
        ready = asyncio.Event()
        self._loop.add_writer(sink, ready.set)
        try:
            await ready.wait()
        finally:
            self._loop.remove_writer(sink)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()


def tcp_probes(host: str, port: int, count: int, at_once: int = 100) -> int:
    """Connect so often, as a port scanner or a load balancer does; how often that worked.

    One third hangs up at once, one third after bytes that mean nothing, and one third stays
    silent for half a second and then resets the connection.
    """

    def probe(number: int) -> bool:
        try:
            connection = socket.create_connection((host, port), timeout=60)
        except OSError:
            return False
        with connection, contextlib.suppress(OSError):
            if number % 3 == 1:
                connection.sendall(os.urandom(200))
            elif number % 3 == 2:
                time.sleep(0.5)
                reset(connection)
        return True

    with ThreadPoolExecutor(max_workers=at_once) as pool:
        return sum(pool.map(probe, range(count)))
