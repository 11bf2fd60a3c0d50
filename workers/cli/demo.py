"""`pulmonode demo`: a CT series through the whole service, on this machine, with its own PACS."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from dicom_node.deliver.peer import Peer, associated, echo
from dicom_node.deliver.scu import Outgoing, read_outgoing, storage_contexts, store_all
from dicom_node.errors import DicomNodeError
from dicom_node.mini_pacs import MiniPacs
from dicom_node.read.eligibility import load_rules
from workers.cli.nodules import print_findings
from workers.cli.output import console, errors, fail, load_settings, reported_errors
from workers.folder import judge_folder
from workers.settings import Settings
from workers.state.database import Database
from workers.state.schema import ENDS, JobState
from workers.state.store import open_store
from workers.usecases.describe import list_jobs, show_job
from workers.usecases.export import export_result

START_LIMIT_S = 60.0
DEMO_LIMIT_S = 900.0
DEMO_ENVIRONMENT = {
    "PULMONODE_HOST": "127.0.0.1",
    "PULMONODE_CONSOLE_ENABLED": "false",
    "PULMONODE_CALLING_AE_TITLES": "MINIPACS",
    "PULMONODE_QUIET_TIME_S": "2",
    "PULMONODE_STUDY_HOLD_S": "1",
    "PULMONODE_INCOMPLETE_WAIT_S": "5",
    "PULMONODE_TICK_S": "0.25",
    "PULMONODE_DISK_RESERVE_BYTES": "0",
    "PULMONODE_LOG_FORMAT": "console",
    "PULMONODE_METRICS_ENABLED": "false",
}


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(demo)


def demo(
    ct: Annotated[
        Path | None, typer.Option(exists=True, help="DICOM folder; a phantom if not given")
    ] = None,
    out: Annotated[Path, typer.Option(help="folder for what it leaves")] = Path("demo-out"),
) -> None:
    """Route a CT series through the whole service and show what comes back."""
    started = time.monotonic()
    settings = load_settings()
    _make_room(out)
    with tempfile.TemporaryDirectory(prefix="pulmonode-demo-") as scratch, reported_errors():
        if ct is None:
            ct = out / "phantom"
            from workers.phantom import write_phantom

            with errors.status("making a phantom series"):
                write_phantom(ct)
        objects = _best_series(ct)
        port = _free_port()
        pacs = MiniPacs(
            folder=out / "pacs",
            commitment_peer=Peer(ae_title=settings.ae_title, host="127.0.0.1", port=port),
        )
        pacs.start()
        try:
            with _service(
                Path(scratch), port, pacs, settings.ae_title, out / "service.log"
            ) as data:
                job = _route(
                    objects, Peer(ae_title=settings.ae_title, host="127.0.0.1", port=port), data
                )
                export_result(open_store(data.object_store_url), job, out)
        finally:
            pacs.stop()
    _report(job, pacs, out, time.monotonic() - started)


def _make_room(out: Path) -> None:
    """Empty the folder of an earlier demonstration, and no other."""
    if out.is_dir() and any(out.iterdir()):
        if not (out / "service.log").exists():
            fail(f"{out} exists and was not left by a demonstration: choose another --out")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)


def _best_series(folder: Path) -> list[Outgoing]:
    """The files of the folder's best series, or of all when none is eligible."""
    best = judge_folder(folder, load_rules(None))[0]
    return [read_outgoing(path) for path in best.paths]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _service(
    data: Path, port: int, pacs: MiniPacs, ae_title: str, log_path: Path
) -> Iterator[Settings]:
    """`pulmonode up` in a process of its own, for the length of the block."""
    destination = {
        "name": "minipacs",
        "ae_title": pacs.ae_title,
        "host": pacs.host,
        "port": pacs.port,
    }
    environment = {
        **os.environ,
        **DEMO_ENVIRONMENT,
        "PULMONODE_DATA_DIR": str(data),
        "PULMONODE_AE_TITLE": ae_title,
        "PULMONODE_DICOM_PORT": str(port),
        "PULMONODE_DESTINATIONS": json.dumps([destination]),
    }
    environment.pop("PULMONODE_BROKER_URL", None)
    environment.pop("PULMONODE_STATE_URL", None)
    environment.pop("PULMONODE_STORE_URL", None)
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.cli.main", "up"],
            env=environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            _wait_until_it_answers(
                process, Peer(ae_title=ae_title, host="127.0.0.1", port=port), log_path
            )
            yield Settings(data_dir=data)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_until_it_answers(process: subprocess.Popen[bytes], peer: Peer, log_path: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    with errors.status("starting broker, node and workers"):
        while True:
            if process.poll() is not None or time.monotonic() > deadline:
                fail(f"the service did not start: see {log_path}")
            try:
                echo(peer, "MINIPACS")
            except DicomNodeError:
                time.sleep(0.5)
            else:
                return


def _route(objects: list[Outgoing], peer: Peer, settings: Settings) -> dict[str, Any]:
    """Send the series as a PACS would and follow its job to the end."""
    database = Database(settings.database_url)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=errors) as progress:
        task = progress.add_task(f"sending {len(objects)} instances to {peer}", total=None)
        with associated(peer, "MINIPACS", storage_contexts(objects)) as assoc:
            for _ in store_all(assoc, peer, objects):
                pass
        deadline = time.monotonic() + DEMO_LIMIT_S
        while time.monotonic() < deadline:
            with database.read() as session:
                jobs = list_jobs(session)
                if jobs:
                    progress.update(task, description=f"job {jobs[0]['id']}: {jobs[0]['state']}")
                    if JobState(jobs[0]["state"]) in ENDS:
                        return show_job(session, str(jobs[0]["id"]))
            time.sleep(0.25)
    return fail(f"no end after {DEMO_LIMIT_S:g} s")


def _report(job: dict[str, Any], pacs: MiniPacs, out: Path, duration_s: float) -> None:
    console.print(
        f"job {job['id']}: [bold]{job['state']}[/]"
        + (f" ({job['reason']})" if job["reason"] else "")
    )
    for line in job["history"]:
        console.print(f"  [dim]{line['state']:<13}[/] {line['message']}", soft_wrap=True)
    if job["findings_path"] is not None:
        print_findings(console, json.loads((out / "findings.json").read_text()))
    console.print(f"the PACS received {len(pacs.received())} objects of ours; {duration_s:.0f} s")
    console.print(
        "left in " + str(out) + ": " + ", ".join(sorted(path.name for path in out.iterdir())),
        soft_wrap=True,
    )
    if job["state"] != JobState.CONFIRMED:
        raise typer.Exit(3 if job["state"] == JobState.NOT_ELIGIBLE else 1)
