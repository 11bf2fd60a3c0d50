"""`pulmonode`: every command in one place."""

from __future__ import annotations

import typer

from workers.cli import demo, jobs, local, network, serve

app = typer.Typer(
    name="pulmonode",
    help="Finds and measures lung nodules in CT series that a PACS routes to it. "
    "Research use, not for diagnosis.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
serve.register(app)
local.register(app)
network.register(app)
jobs.register(app)
demo.register(app)

if __name__ == "__main__":
    app()
