"""Commands that talk to peers: send and doctor."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TransferSpeedColumn

from dicom_node.deliver.peer import Peer, associated
from dicom_node.deliver.scu import read_outgoing, storage_contexts, store_all
from dicom_node.errors import UnreadableInstance
from workers.cli.output import console, errors, fail, load_settings, print_json, reported_errors
from workers.cli.site import Server, TokenFile, examined

PEER_PATTERN = re.compile(r"(?P<ae>[^@]{1,16})@(?P<host>[^:]+|\[[^\]]+\]):(?P<port>\d{1,5})")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(send)
    app.command()(doctor)


def parse_peer(text: str) -> Peer:
    """Read ``AET@host:port``; ends the command when it is something else."""
    match = PEER_PATTERN.fullmatch(text)
    if match is None:
        fail(f"{text!r} is not AET@host:port")
    return Peer(ae_title=match["ae"], host=match["host"].strip("[]"), port=int(match["port"]))


def send(
    folder: Annotated[Path, typer.Argument(exists=True, help="folder or file to send")],
    to: Annotated[str, typer.Option(help="AET@host:port")],
    calling_ae: Annotated[str | None, typer.Option(help="our AE title, if another")] = None,
) -> None:
    """Send DICOM files with C-STORE, as they are."""
    settings = load_settings()
    peer = parse_peer(to)
    paths = sorted(folder.rglob("*")) if folder.is_dir() else [folder]
    objects = []
    skipped = 0
    for path in paths:
        if not path.is_file():
            continue
        try:
            objects.append(read_outgoing(path))
        except UnreadableInstance:
            skipped += 1
    if not objects:
        fail(f"no DICOM file in {folder}")
    total = sum(item.path.stat().st_size for item in objects)
    columns = (
        TextColumn("sending"), BarColumn(), TransferSpeedColumn(), TextColumn("{task.fields[n]}"),
    )  # fmt: skip
    with reported_errors(), Progress(*columns, console=errors) as progress:
        task = progress.add_task("", total=total, n=f"0/{len(objects)}")
        contexts = storage_contexts(objects)
        with associated(peer, calling_ae or settings.ae_title, contexts) as assoc:
            for count, (item, _) in enumerate(
                zip(objects, store_all(assoc, peer, objects), strict=True), start=1
            ):
                progress.update(task, advance=item.path.stat().st_size, n=f"{count}/{len(objects)}")
    console.print(
        f"{peer} took {len(objects)} instances"
        + (f", {skipped} other files skipped" if skipped else "")
    )


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="for scripts")] = False,
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """Examine settings, disk, database, broker and every peer; one line each."""
    checks = examined(server, token_file)
    if as_json:
        print_json(checks)
    else:
        for item in checks:
            _print_check(item)
    if any(item["ok"] is False for item in checks):
        raise typer.Exit(1)


def _print_check(item: dict[str, Any]) -> None:
    mark = {True: "[green]ok  [/]", False: "[bold red]FAIL[/]", None: "[dim]--  [/]"}[item["ok"]]
    console.print(f"{mark} {item['what']}: {item['found']}", highlight=False, soft_wrap=True)
