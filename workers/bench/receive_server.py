"""Our SCP alone, as `bench receive` starts it: what the node receives with, nothing behind it."""

from __future__ import annotations

import argparse
import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import structlog

from dicom_node.receive.scp import ANY_CALLING_AE, ScpSettings, StorageScp
from dicom_node.receive.spool import Spool
from workers.bench.receivers import AE_TITLE
from workers.heaps import share_heaps


def main(arguments: Sequence[str] | None = None) -> None:
    """Receive until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--no-fsync", action="store_true")
    parser.add_argument("--plain", action="store_true")
    asked = parser.parse_args(arguments)
    share_heaps()  # as the node does
    if asked.no_fsync:
        os.fsync = _no_fsync  # type: ignore[assignment]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    scp = StorageScp(
        ScpSettings(
            ae_title=AE_TITLE,
            host="127.0.0.1",
            port=asked.port,
            calling_ae_titles=(ANY_CALLING_AE,),
            fast=not asked.plain,
        ),
        Spool(asked.folder),
        on_stored=_do_nothing,
        on_commitment=_do_nothing,
    )
    scp.start()
    threading.Event().wait()


def _do_nothing(_value: object) -> None:
    """Nobody waits behind this SCP."""


def _no_fsync(_descriptor: object) -> None:
    """As a receiver that leaves writing to the kernel."""


if __name__ == "__main__":
    main()
