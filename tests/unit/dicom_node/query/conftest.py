from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind

from dicom_node.deliver.peer import Peer
from dicom_node.mini_pacs import MiniPacs


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[MiniPacs]:
    running = MiniPacs(folder=tmp_path / "pacs")
    running.start()
    yield running
    running.stop()


@pytest.fixture
def serve() -> Iterator[Callable[..., Peer]]:
    """Start PACS that say exactly what a test says, whatever was asked."""
    running: list[Any] = []

    def make(*answers: Dataset, model: Any = StudyRootQueryRetrieveInformationModelFind) -> Peer:
        def handle(_event: Any) -> Iterator[tuple[int, Dataset]]:
            for answer in answers:
                yield 0xFF01, answer

        ae = AE(ae_title="ODD")
        ae.add_supported_context(model)
        server: Any = ae.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, handle)]
        )
        running.append(server)
        return Peer(ae_title="ODD", host="127.0.0.1", port=server.server_address[1])

    yield make
    for server in running:
        server.shutdown()
