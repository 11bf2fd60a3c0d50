"""Applications with an empty database at this release's schema, copied: migrating takes long."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from workers.application import Application, open_application
from workers.settings import Settings


@functools.cache
def _empty_database() -> bytes:
    """A SQLite file after all migrations."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder))
        open_application(settings, migrate=True).database.close()
        return (settings.data_dir / "state.sqlite").read_bytes()


def migrated_application(settings: Settings) -> Application:
    """Open an application; what its database holds, if there is one, stays."""
    assert settings.state_url is None, "only SQLite is a file"
    path = settings.data_dir / "state.sqlite"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_empty_database())
    return open_application(settings)
