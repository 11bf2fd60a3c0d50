"""A PACS that stops answering before the service that it answers to is stopped."""

from __future__ import annotations

import time

from dicom_node.mini_pacs import CommitmentReply, MiniPacs


def fall_silent(pacs: MiniPacs) -> None:
    """Let a PACS send no commitment result any more, before there is nobody to take it."""
    pacs.commitment_reply = CommitmentReply.NEVER
    pacs.refuse_associations = True
    time.sleep(1)
