"""`pulmonode storage`: what is kept, what the policy lets go, and letting it go now."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from workers.cli.output import console, opened_application, print_json
from workers.usecases.audit import at_the_command_line, record_alone
from workers.usecases.describe_storage import LISTED_AT_MOST, describe_storage, total
from workers.usecases.prune import Pruned, prune
from workers.usecases.prune_context import prune_context
from workers.usecases.retain import due_removals
from workers.usecases.share_settings import with_site_settings

AsJson = Annotated[bool, typer.Option("--json", help="for scripts")]
BY_KIND = {
    "received": "received instances",
    "result": "objects of results",
    "kept_aside": "files kept aside",
    "history": "lines of history",
}

storage = typer.Typer(
    help="How much is kept, and what the retention policy removes.", invoke_without_command=True
)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(storage, name="storage")


@storage.callback()
def show(context: typer.Context, as_json: AsJson = False) -> None:
    """Show disk, objects, policy, and what is due to go."""
    if context.invoked_subcommand is not None:
        return
    with opened_application() as app:
        found = describe_storage(with_site_settings(app))
    if as_json:
        print_json(found)
        return
    console.print(
        f"disk of {found['data_dir']}: {_size(found['disk_free_bytes'])} free of "
        f"{_size(found['disk_total_bytes'])}, nothing is accepted under "
        f"{_size(found['disk_reserve_bytes'])}"
    )
    console.print(f"object store {found['store']}")
    for name in ("received", "results", "kept_aside"):
        of_kind = found[name]
        console.print(f"  {name}: {of_kind['objects']} objects, {_size(of_kind['bytes'])}")
    console.print(f"  received and removed since: {found['received_removed']} objects")
    console.print(f"  waiting in the inbox: {found['inbox']}")
    for name, days in found["policy_days"].items():
        console.print(f"{name}: {'for ever' if days is None else f'{days:g} days'}")
    _print_due(found["due"])
    if found["removals_begun"]:
        console.print(f"{found['removals_begun']} removals are begun and not ended")


@storage.command("prune")
def prune_now(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="list what would go, and remove nothing")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what the policy lets go now; the node does so by itself every few minutes."""
    with opened_application() as opened:
        app = with_site_settings(opened)
        if dry_run:
            _list_due(app, as_json=as_json)
            return
        done = Pruned(removals=0, objects=0, size_bytes=0)
        while (more := prune(app)).removals:
            done = Pruned(
                removals=done.removals + more.removals,
                objects=done.objects + more.objects,
                size_bytes=done.size_bytes + more.size_bytes,
            )
        patients = prune_context(app)
        record_alone(app, at_the_command_line(), "storage.prune")
    if as_json:
        print_json(
            {
                "removals": done.removals, "objects": done.objects, "bytes": done.size_bytes,
                "patients": patients,
            }
        )  # fmt: skip
    else:
        console.print(f"removed {done.objects} objects, {_size(done.size_bytes)}")
        if patients:
            console.print(f"removed what was known of {patients} patients")


def _list_due(app: Any, *, as_json: bool) -> None:
    with app.database.read() as session:
        due = due_removals(session, app.settings, now=app.now(), limit=LISTED_AT_MOST)
    if as_json:
        print_json(
            [
                {
                    "job": item.job_id, "what": str(item.what), "objects": item.objects,
                    "bytes": item.size_bytes, "why": item.why,
                }
                for item in due
            ]
        )  # fmt: skip
        return
    for item in due:
        size = f", {_size(item.size_bytes)}" if item.size_bytes else ""
        console.print(
            f"job {item.job_id}: {item.objects} {BY_KIND[item.what]}{size} ({item.why})",
            highlight=False,
        )
    _print_due(total(due))


def _print_due(due: dict[str, dict[str, int]]) -> None:
    if not due:
        console.print("nothing is due to go")
    for what, of_kind in due.items():
        console.print(
            f"due to go: {of_kind['objects']} {BY_KIND[what]} of {of_kind['jobs']} jobs, "
            f"{_size(of_kind['bytes'])}"
        )


def _size(size_bytes: float) -> str:
    if size_bytes >= 1e9:
        return f"{size_bytes / 1e9:.1f} GB"
    return f"{size_bytes / 1e6:.1f} MB"
