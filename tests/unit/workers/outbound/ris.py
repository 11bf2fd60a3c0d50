"""A RIS that listens for HL7, on python-hl7's own MLLP server: not a line of it is ours."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import hl7
from hl7.mllp import HL7StreamReader, HL7StreamWriter, start_hl7_server

Reply = Callable[[hl7.Message], hl7.Message | None]


class Ris:
    """What it heard; `reply` gives the answers, `None` hangs up instead."""

    def __init__(self) -> None:
        self.heard: list[hl7.Message] = []
        self.reply: Reply = lambda message: message.create_ack()
        self.port = 0
        self.silent = False

    async def serve(self, reader: HL7StreamReader, writer: HL7StreamWriter) -> None:
        try:
            while True:
                message = await reader.readmessage()
                self.heard.append(message)
                if self.silent:
                    await asyncio.sleep(60)
                answer = self.reply(message)
                if answer is None:
                    return
                writer.writemessage(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    def controls(self) -> list[str]:
        """MSH-10 of all that it heard."""
        return [str(message["MSH.F10"]) for message in self.heard]

    def statuses(self, number: int) -> set[str]:
        """OBX-11 of a message."""
        return {str(row[11]) for row in self.heard[number].segments("OBX")}


def refusing(code: str) -> Reply:
    """Answers with another code than AA."""
    return lambda message: message.create_ack(code)


@contextmanager
def listening_ris(tls: ssl.SSLContext | None = None) -> Iterator[Ris]:
    """A RIS at a free port of this machine."""
    ris = Ris()
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    async def run() -> None:
        server = await start_hl7_server(
            ris.serve, host="127.0.0.1", port=0, encoding="utf-8", ssl=tls
        )
        ris.port = server.sockets[0].getsockname()[1]
        ready.set()

    def main() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(run())
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.close()

    thread = threading.Thread(target=main, daemon=True)
    thread.start()
    assert ready.wait(timeout=20)
    try:
        yield ris
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=20)
