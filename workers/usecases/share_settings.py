"""One truth about the site's settings: the node's, which workers on any host go by.

A worker is told where database, broker and object store are. Everything that a job's fate
depends on (destinations, leases, retries, policies) it reads from the database, where the node
has written it; else a worker that was set up by another file would lose deliveries or wait
for leases that nobody keeps.
"""

from __future__ import annotations

from dataclasses import replace

import structlog

from workers.application import Application
from workers.console_settings import ConsoleSettings
from workers.hl7_settings import Hl7Settings
from workers.monitoring_settings import MONITORING_OF_THE_PROCESS
from workers.receive_settings import RECEIVING_OF_THE_PROCESS
from workers.settings import Settings
from workers.state.schema import SiteSettings

log = structlog.get_logger()

OF_THE_PROCESS = frozenset(
    {"data_dir", "state_url", "store_url", "broker_url", "host", "dicom_port", "rules_file"}
    | {"disk_reserve_bytes", "log_format", "log_level", "backend", "device", "threads"}
    | set(ConsoleSettings.model_fields)
    | MONITORING_OF_THE_PROCESS
    | RECEIVING_OF_THE_PROCESS
    | set(Hl7Settings.model_fields)
)
"""Fields that each process has for itself: its host's folders, addresses, hardware and log."""
NODE = "node"


def publish_settings(app: Application) -> bool:
    """Write this process's settings down as the site's; False when they stood there already."""
    values = app.settings.model_dump(mode="json", exclude=set(OF_THE_PROCESS))
    now = app.now()
    with app.database.write() as session:
        row = session.get(SiteSettings, NODE)
        if row is not None and row.content == values:
            return False
        session.merge(SiteSettings(name=NODE, content=values, changed_at=now))
    log.info("settings_published")
    return True


def with_site_settings(app: Application) -> Application:
    """The same application under the site's settings, as they are now; its own before there
    are any. What another release wrote and this one does not know is left out.
    """
    with app.database.read() as session:
        row = session.get(SiteSettings, NODE)
        values = {} if row is None else dict(row.content)
    known = set(Settings.model_fields) - OF_THE_PROCESS
    own = app.settings.model_dump(mode="json")
    site = {name: value for name, value in values.items() if name in known}
    return replace(app, settings=Settings(**{**own, **site}))
