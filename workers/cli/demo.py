"""`pulmonode demo`: a CT series through the whole service, on this machine, with its own PACS."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from dicom_node.deliver.peer import Peer, associated
from dicom_node.deliver.scu import Outgoing, read_outgoing, storage_contexts, store_all
from dicom_node.mini_pacs import MiniPacs
from dicom_node.read.eligibility import load_rules
from workers.cli.nodules import print_findings
from workers.cli.output import console, errors, fail, load_settings, reported_errors
from workers.folder import judge_folder
from workers.own_service import follow_jobs, free_port, own_service
from workers.settings import Settings
from workers.state.database import Database
from workers.state.schema import JobState
from workers.state.store import open_store
from workers.usecases.export import export_result

DEMO_LIMIT_S = 900.0


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
        peer = Peer(ae_title=settings.ae_title, host="127.0.0.1", port=free_port())
        pacs = MiniPacs(folder=out / "pacs", commitment_peer=peer)
        pacs.start()
        try:
            with (
                errors.status("starting broker, node and workers") as status,
                own_service(Path(scratch), pacs, out / "service.log", peer=peer) as data,
            ):
                status.stop()
                job = _route(objects, peer, data)
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


def _route(objects: list[Outgoing], peer: Peer, settings: Settings) -> dict[str, Any]:
    """Send the series as a PACS would and follow its job to the end."""
    database = Database(settings.database_url)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    job: dict[str, Any] | None = None
    with Progress(*columns, console=errors) as progress:
        task = progress.add_task(f"sending {len(objects)} instances to {peer}", total=None)
        with associated(peer, "MINIPACS", storage_contexts(objects)) as assoc:
            for _ in store_all(assoc, peer, objects):
                pass
        try:
            for job in follow_jobs(database, limit_s=DEMO_LIMIT_S):
                if job is not None:
                    progress.update(task, description=f"job {job['id']}: {job['state']}")
        except TimeoutError as error:
            fail(str(error))
    return job or fail("no job began")


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
