"""`pulmonode backup` and `restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workers.backup_files import check_sums, open_source, open_target
from workers.cli.output import console, errors, load_settings, opened_application, reported_errors
from workers.supervisor import hold_folder
from workers.usecases.back_up import back_up
from workers.usecases.restore import restore as put_back


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(backup)
    app.command()(restore)


def backup(
    target: Annotated[
        Path,
        typer.Argument(help="folder (a later backup into it copies what is new), or FILE.tar"),
    ],
) -> None:
    """Back up database, objects, spool and the site's own files, while everything runs."""
    with opened_application() as app, open_target(target) as opened:
        done = back_up(app, opened, _tell)
    console.print(
        f"{target}: {done.files} files, of which {done.copied} "
        f"({done.copied_bytes / 1e6:.1f} MB) were copied now",
        highlight=False,
        soft_wrap=True,
    )


def restore(
    source: Annotated[Path, typer.Argument(exists=True, help="folder or FILE.tar")],
    check: Annotated[
        bool, typer.Option("--check", help="only compare every file with its checksum")
    ] = False,
) -> None:
    """Put a backup into an empty data folder, database and object store (nothing may run)."""
    settings = load_settings()
    with reported_errors(), open_source(source) as opened:
        if check:
            sizes = [size for _, size in check_sums(opened, opened.sums())]
            made_at = opened.manifest()["made_at"]
            console.print(
                f"{source}: made {made_at}, {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB, "
                "all as they were backed up",
                highlight=False,
                soft_wrap=True,
            )
            return
        hold_folder(settings.data_dir)  # to the end of this process
        done = put_back(settings, opened, _tell)
    console.print(
        f"restored what was backed up {done.made_at}: {done.files} files, "
        f"{done.size_bytes / 1e6:.1f} MB; taken up beside it: {done.taken_up.instances} instances, "
        f"{done.taken_up.results} results",
        highlight=False,
        soft_wrap=True,
    )
    for name in done.other_settings:
        console.print(f"note: PULMONODE_{name.upper()} is another than it was (settings.json)")
    for name in done.left_in_backup:
        console.print(f"note: {name} stays in the backup: it has no place by the settings")
    console.print("start the service; deliveries go on where they stood")


def _tell(stage: str) -> None:
    errors.print(f"[dim]{stage}[/]", highlight=False)
