from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.workers.rows import change, count, with_settings
from workers.application import Application
from workers.settings import Settings
from workers.state.schema import SiteSettings
from workers.usecases.share_settings import NODE, publish_settings, with_site_settings


@pytest.fixture
def worker(app: Application, tmp_path: Path) -> Application:
    """A worker on another host that was told of the database and nothing else."""
    settings = Settings(data_dir=tmp_path / "worker", state_url=app.database.url, log_level="debug")
    return replace(app, settings=settings)


def test_a_worker_goes_by_the_nodes_settings(app: Application, worker: Application) -> None:
    assert publish_settings(app)

    found = with_site_settings(worker).settings

    assert found.destinations == app.settings.destinations
    assert found.max_attempts == app.settings.max_attempts
    assert found.ae_title == app.settings.ae_title


def test_a_worker_keeps_its_own_folder_addresses_and_log(
    app: Application, worker: Application
) -> None:
    publish_settings(app)

    found = with_site_settings(worker).settings

    assert found.data_dir == worker.settings.data_dir
    assert found.state_url == worker.settings.state_url
    assert (found.log_level, found.dicom_port) == ("debug", worker.settings.dicom_port)


def test_before_a_node_ever_ran_a_worker_goes_by_its_own(worker: Application) -> None:
    assert with_site_settings(worker).settings == worker.settings


def test_what_the_node_changes_reaches_the_workers(app: Application, worker: Application) -> None:
    publish_settings(app)

    assert not publish_settings(app)
    assert publish_settings(replace(app, settings=with_settings(app.settings, lease_s=7)))

    assert with_site_settings(worker).settings.lease_s == 7
    assert count(app, SiteSettings) == 1


def test_a_setting_of_a_newer_release_is_left_out(app: Application, worker: Application) -> None:
    publish_settings(app)
    change(app, SiteSettings, NODE, content={"lease_s": 9, "of_a_newer_release": 1})

    assert with_site_settings(worker).settings.lease_s == 9
