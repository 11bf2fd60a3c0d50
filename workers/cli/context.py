"""`pulmonode context ...`: what HL7 and FHIR said of patients, and what people say of their IDs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from workers.application import Application
from workers.cli.output import console, local_time, opened_application, print_json
from workers.cli.site import Server, TokenFile, reached
from workers.context.links import PatientId
from workers.errors import ContextRefused
from workers.usecases.audit import at_the_command_line, record_alone
from workers.usecases.describe_context import list_held, list_patients, show_patient
from workers.usecases.link_patients import confirm_patient, merge_patients, unmerge_patients
from workers.usecases.take_messages import retry_held, take_messages

context = typer.Typer(no_args_is_help=True, help="What HL7 and FHIR said of patients.")
Issuer = Annotated[
    str | None, typer.Option(help="issuer of the ID; PULMONODE_CONTEXT_DEFAULT_ISSUER if absent")
]
AsJson = Annotated[bool, typer.Option("--json", help="as JSON")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(context, name="context")


@context.command("list")
def list_command(limit: Annotated[int, typer.Option(min=1)] = 50, as_json: AsJson = False) -> None:
    """List patient IDs of which anything is known."""
    with opened_application() as app:
        rows = list_patients(app, limit=limit)
    if as_json:
        print_json(rows)
        return
    table = Table("patient ID", "issuer", "messages", "values", "last message")
    for row in rows:
        table.add_row(
            row["patient_id"], row["issuer"], str(row["messages"]), str(row["values"]),
            local_time(row["last_received_at"]),
        )  # fmt: skip
    console.print(table)


@context.command()
def show(patient_id: str, issuer: Issuer = None, as_json: AsJson = False) -> None:
    """Show all that is known of a patient, with the message that each value came by."""
    with opened_application() as app:
        known = show_patient(app, _patient(app, patient_id, issuer))
    if as_json:
        print_json(known)
        return
    console.print("IDs: " + ", ".join(f"{one} ({of or 'no issuer'})" for one, of in known["ids"]))
    for link in known["links"]:
        console.print(f"{link['kind']}: {link['from']} {link['into']} ({local_time(link['at'])})")
    table = Table("message", "sent", "says", "of", "value", "status", "not usable because")
    for item in known["statements"]:
        who = item["person"]
        says = " ".join((*who["names"], who["birth_date"], who["sex"]))
        table.add_row(item["control_id"], item["said_at"], "patient", "", says, "", "")
        for value in item["values"]:
            table.add_row(
                "", "", value["item"], value["observed_on"], _written(value), value["status"],
                value["problem"],
            )  # fmt: skip
        for report in item["reports"]:
            table.add_row(
                "", "", report["kind"], report["observed_on"], report["title"], report["status"], ""
            )
    console.print(table)


def _written(value: dict[str, Any]) -> str:
    if value["number"] is not None:
        return f"{value['comparator']}{value['number']:g} ({value['written']})"
    said = {True: "yes", False: "no", None: "?"}[value["flag"]]
    return f"{said} ({value['written']})" + (f" since {value['since']}" if value["since"] else "")


@context.command()
def held(as_json: AsJson = False) -> None:
    """List messages that cannot be used as they are, and why."""
    with opened_application() as app:
        rows = list_held(app)
    if as_json:
        print_json(rows)
        return
    table = Table("number", "kind", "sender", "control ID", "received", "why")
    for row in rows:
        table.add_row(
            str(row["id"]), row["kind"], row["sender"], row["control_id"],
            local_time(row["received_at"]), f"{row['reason_code']}: {row['reason']}",
        )  # fmt: skip
    console.print(table)


@context.command()
def retry() -> None:
    """Read held messages again, after settings changed."""
    with opened_application() as app:
        count = retry_held(app)
        take_messages(app)
        left = len(list_held(app))
        record_alone(app, at_the_command_line(), "context.retry")
    console.print(f"{count} messages read again, {left} are still held")


@context.command("import")
def import_command(
    file: Path, as_json: AsJson = False, server: Server = None, token_file: TokenFile = None
) -> None:
    """Take a FHIR resource or Bundle (JSON), or HL7 messages, from a file.

    Each message is answered as the HL7 port would; the exit code is 1 where one was refused.
    """
    with reached(server, token_file) as site:
        try:
            data = file.read_bytes()
        except OSError as error:
            raise ContextRefused(
                str(file), f"cannot be read ({error.strerror})", "name a file"
            ) from None
        answers = site.take_context(data, str(file))
    if as_json:
        print_json(answers)
    else:
        counts = Counter(item["outcome"] or "refused" for item in answers)
        said = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
        console.print(f"{file.name}: {said}")
        for item in answers:
            if item["answer"] != "AA":
                console.print(f"{item['message_id'] or '?'}: {item['answer']} {item['why']}")
    if any(item["answer"] != "AA" for item in answers):
        raise typer.Exit(1)


@context.command()
def merge(prior_id: str, into_id: str, issuer: Issuer = None, into_issuer: Issuer = None) -> None:
    """Let two IDs be one patient's; the second one survives. 'unmerge' takes it back."""
    with opened_application() as app:
        what, into = _patient(app, prior_id, issuer), _patient(app, into_id, into_issuer or issuer)
        ids = merge_patients(app, what, into, actor=at_the_command_line())
    console.print(f"one patient with {len(ids)} IDs now")


@context.command()
def unmerge(prior_id: str, into_id: str, issuer: Issuer = None, into_issuer: Issuer = None) -> None:
    """Part two IDs that a merge, by message or command, made one patient's."""
    with opened_application() as app:
        what, into = _patient(app, prior_id, issuer), _patient(app, into_id, into_issuer or issuer)
        unmerge_patients(app, what, into, actor=at_the_command_line())
    console.print("two patients now")


@context.command()
def confirm(patient_id: str, issuer: Issuer = None) -> None:
    """Say that all that is known of an ID until now is of one patient, the CT's."""
    with opened_application() as app:
        count = confirm_patient(app, _patient(app, patient_id, issuer), actor=at_the_command_line())
    console.print(f"{count} messages are confirmed; what comes later is compared again")


def _patient(app: Application, patient_id: str, issuer: str | None) -> PatientId:
    return patient_id, app.settings.context_default_issuer if issuer is None else issuer
