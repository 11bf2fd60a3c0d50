"""The settings as they count, for people to look at: secrets are hidden."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit

from workers.application import Application
from workers.settings import Settings
from workers.usecases.share_settings import OF_THE_PROCESS, with_site_settings

HIDDEN = "**********"


def show_settings(app: Application) -> list[dict[str, Any]]:
    """Every setting by name, with its meaning, and whose it is: the site's or this process's."""
    values = with_site_settings(app).settings.model_dump(mode="json")  # hides what is a secret
    return [
        {
            "name": f"PULMONODE_{name.upper()}",
            "value": without_secrets(values[name]),
            "changed": values[name] != _default(name),
            "scope": "process" if name in OF_THE_PROCESS else "site",
            "meaning": field.description or "",
        }
        for name, field in Settings.model_fields.items()
    ]


def without_secrets(value: Any) -> Any:
    """A value without the password, and without the query, of any URL in it."""
    if isinstance(value, dict):
        return {name: without_secrets(item) for name, item in value.items()}
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    if not isinstance(value, str) or "://" not in value:
        return value
    try:
        parts = urlsplit(value)
        host = parts.netloc.rpartition("@")[2]
        user = f"{parts.username}:{HIDDEN}@" if parts.password else ""
        if parts.username and not parts.password:
            user = f"{HIDDEN}@"  # a token in a user's place
        query = HIDDEN if parts.query else ""
        return urlunsplit((parts.scheme, user + host, parts.path, query, ""))
    except ValueError:
        return HIDDEN


def _default(name: str) -> Any:
    default = Settings.model_fields[name].get_default(call_default_factory=True)
    return [] if default == () else str(default) if hasattr(default, "parts") else default
