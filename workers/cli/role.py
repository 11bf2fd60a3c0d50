"""The commands of `serve` without any other: `up` starts its processes by this module.

Loading every command takes a second, which each of these processes would spend again.
"""

from __future__ import annotations

import typer

from workers.cli import serve

app = typer.Typer(pretty_exceptions_enable=False)
serve.register(app)

if __name__ == "__main__":
    app()
