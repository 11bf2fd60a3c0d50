"""What an SCP under test hands on."""

from __future__ import annotations

from dicom_node.receive.commitment import CommitmentReport


class Received:
    def __init__(self) -> None:
        self.reports: list[CommitmentReport] = []
        self.stored = 0

    def count(self, _stored: object) -> None:
        self.stored += 1
