"""`pulmonode`: commands that serve load nothing but themselves, all others load all.

Loading every command takes a second, which each process of the service would spend again.
"""

from __future__ import annotations

import sys

import typer

from workers.cli import serve

SERVING = frozenset({"up", "node", "worker", "console", "hl7", "migrate"})
"""Those of `serve`."""


def main() -> None:
    """Run the command that the arguments name."""
    if len(sys.argv) > 1 and sys.argv[1] in SERVING:
        alone = typer.Typer(pretty_exceptions_enable=False)
        serve.register(alone)
        alone()
    else:
        from workers.cli.main import app

        app()


if __name__ == "__main__":
    main()
