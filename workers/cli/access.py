"""Who may use the console, and what they did: users, tokens, audit.

They work on this machine's database, where whoever may read its settings is an administrator, or
with an administrator's token on a console elsewhere.
"""

from __future__ import annotations

import csv
import sys
from datetime import datetime
from typing import Annotated, Literal

import typer
from rich.table import Table

from workers import clock
from workers.audit_trail.trail import tell_audit_read
from workers.cli.access_site import accessed
from workers.cli.output import console, fail, local_time, opened_application, print_json
from workers.cli.site import Server, TokenFile
from workers.state.access_tables import Role
from workers.usecases import accounts
from workers.usecases.audit import at_the_command_line, every_record, record_alone

AsJson = Annotated[bool, typer.Option("--json", help="for scripts")]
UserName = Annotated[str, typer.Argument(help="user's name")]
TokenName = Annotated[str, typer.Argument(help="token's name")]

users = typer.Typer(help="Who may sign in to the console.", no_args_is_help=True)
tokens = typer.Typer(help="Tokens of programs that use the HTTP API.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(users, name="users")
    app.add_typer(tokens, name="tokens")
    app.command()(audit)


@users.command()
def add(
    name: UserName,
    role: Annotated[Role, typer.Option(help="what they may do")] = Role.VIEWER,
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """Add a user, and print the link by which they choose a password."""
    with accessed(server, token_file) as site:
        address = site.add_user(name, role)
    _print_link(name, address)


@users.command("list")
def list_users(
    as_json: AsJson = False, server: Server = None, token_file: TokenFile = None
) -> None:
    """List all users."""
    with accessed(server, token_file) as site:
        rows = site.users()
    if as_json:
        print_json(rows)
        return
    table = Table(box=None, pad_edge=False)
    for column in ("user", "role", "signs in", "last"):
        table.add_column(column)
    for row in rows:
        able = "disabled" if row["disabled"] else "yes" if row["has_password"] else "by link"
        table.add_row(row["name"], row["role"], able, local_time(row["last_sign_in_at"]))
    console.print(table)


@users.command()
def link(name: UserName, server: Server = None, token_file: TokenFile = None) -> None:
    """Print a new link by which a user chooses a password; older ones stop working."""
    with accessed(server, token_file) as site:
        address = site.link(name)
    _print_link(name, address)


@users.command()
def role(
    name: UserName,
    new: Annotated[Role, typer.Argument(help="what they may do")],
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """Give a user another role, at once."""
    with accessed(server, token_file) as site:
        site.set_role(name, new)
    console.print(f"user {name}: {new}")


@users.command()
def disable(name: UserName, server: Server = None, token_file: TokenFile = None) -> None:
    """Shut a user out, at once and everywhere."""
    with accessed(server, token_file) as site:
        site.set_disabled(name, disabled=True)
    console.print(f"user {name}: disabled")


@users.command()
def enable(name: UserName, server: Server = None, token_file: TokenFile = None) -> None:
    """Let a user in again."""
    with accessed(server, token_file) as site:
        site.set_disabled(name, disabled=False)
    console.print(f"user {name}: enabled")


@users.command()
def password(
    name: UserName,
    from_stdin: Annotated[
        bool, typer.Option("--stdin", help="read it from standard input")
    ] = False,
    server: Server = None,
) -> None:
    """Set a user's password and sign them out everywhere (a link is the better way)."""
    if server is not None:
        fail("a password is set on the console's own machine; 'users link' works from here")
    if from_stdin:
        new = sys.stdin.readline().rstrip("\r\n")
    else:
        new = typer.prompt("New password", hide_input=True, confirmation_prompt=True, err=True)
    with opened_application() as app:
        accounts.set_password(app, at_the_command_line(), name, new)
    console.print(f"user {name}: password set")


@tokens.command("add")
def add_token(
    name: TokenName,
    role: Annotated[Role, typer.Option(help="what it may do")] = Role.VIEWER,
    days: Annotated[float, typer.Option(help="after which it ends")] = 90,
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """Make a token and print it: it cannot be seen again."""
    with accessed(server, token_file) as site:
        token = site.add_token(name, role, days)
    typer.echo(token)


@tokens.command("list")
def list_tokens(
    as_json: AsJson = False, server: Server = None, token_file: TokenFile = None
) -> None:
    """List all tokens, without themselves."""
    with accessed(server, token_file) as site:
        rows = site.tokens()
    now = clock.now()
    if as_json:
        print_json(rows)
        return
    table = Table(box=None, pad_edge=False)
    for column in ("token", "role", "by", "ends", "last used", ""):
        table.add_column(column)
    for row in rows:
        over = "revoked" if row["revoked_at"] else "ended" if row["expires_at"] <= now else ""
        table.add_row(
            row["name"],
            row["role"],
            row["created_by"],
            local_time(row["expires_at"]),
            local_time(row["used_at"]),
            over,
        )
    console.print(table)


@tokens.command()
def revoke(name: TokenName, server: Server = None, token_file: TokenFile = None) -> None:
    """End a token at once."""
    with accessed(server, token_file) as site:
        site.revoke_token(name)
    console.print(f"token {name}: revoked")


def audit(
    job: Annotated[int | None, typer.Option(help="only what was done to this job")] = None,
    who: Annotated[str | None, typer.Option(help="only what this user or token did")] = None,
    since: Annotated[datetime | None, typer.Option(help="only from then on")] = None,
    limit: Annotated[int, typer.Option(min=1, help="how many, newest first")] = 50,
    export: Annotated[
        Literal["csv", "json"] | None,
        typer.Option(help="all of it to standard output, oldest first"),
    ] = None,
    as_json: AsJson = False,
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """Show who did what."""
    at = None if since is None else since.timestamp()
    if export is not None:
        if job is not None or who is not None:
            fail("--export takes --since and nothing else: an audit is handed out whole")
        if server is not None:
            fail("the whole audit is exported on the console's own machine")
        _export_all(export, at)
        return
    with accessed(server, token_file) as site:
        rows = site.audit(limit=limit, job=job, who=who, since=at)
    if as_json:
        print_json(rows)
        return
    table = Table(box=None, pad_edge=False)
    for column in ("when", "who", "how", "from", "what", "job", "subject", "outcome"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(
            local_time(row["at"]),
            row["who"],
            row["how"],
            row["address"],
            row["action"],
            "" if row["job"] is None else str(row["job"]),
            row["subject"],
            row["outcome"],
        )
    console.print(table)


def _export_all(form: str, since: float | None) -> None:
    with opened_application() as app:
        tell_audit_read(app.settings, at_the_command_line().name, "")
        record_alone(app, at_the_command_line(), "audit.export", subject=form)
        with app.database.read() as session:
            _export(form, list(every_record(session, since=since)))


def _export(form: str, rows: list[dict[str, object]]) -> None:
    if form == "json":
        print_json(rows)
        return
    columns = (
        "id", "at", "who", "role", "how", "address", "action", "job", "subject", "outcome",
    )  # fmt: skip
    writer = csv.DictWriter(sys.stdout, columns)
    writer.writeheader()
    writer.writerows(rows)


def _print_link(name: str, address: str) -> None:
    hours = accounts.LINK_LASTS_S / 3600
    console.print(f"user {name} chooses a password within {hours:.0f} hours, once, at")
    typer.echo(address)
