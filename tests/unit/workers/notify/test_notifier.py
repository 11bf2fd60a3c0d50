from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from sqlalchemy.exc import OperationalError

from tests.unit.workers.rows import with_settings
from workers.application import Application, open_application
from workers.errors import NotificationFailed
from workers.notify import notifier as module
from workers.notify.message import LISTED_AT_MOST, AlarmChange, AlarmMessage
from workers.notify.notifier import Notifier
from workers.state.alarms import clear_alarm, raise_alarm
from workers.state.database import Database


class Recorder:
    """A way out that keeps what is sent, or fails."""

    def __init__(self) -> None:
        self.name = "webhook"
        self.sent: list[AlarmMessage] = []
        self.away = False

    def send(self, message: AlarmMessage) -> None:
        if self.away:
            raise NotificationFailed(self.name, "away")
        self.sent.append(message)


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(module, "channels_of", lambda _settings: [recorder])
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.0)
    return recorder


@pytest.fixture
def hasty(app: Application) -> Application:
    settings = with_settings(app.settings, notify_group_s=0, notify_interval_s=0)
    return open_application(settings)


def alarm(app: Application, code: str, subject: str, *, over: bool = False) -> None:
    with app.database.write() as session:
        if over:
            clear_alarm(session, code, subject, at=app.now())
        else:
            raise_alarm(session, code, subject, "Doe^Jane said no", at=app.now())


def subjects(message: AlarmMessage) -> tuple[list[str], list[str]]:
    return [item.subject for item in message.raised], [item.subject for item in message.cleared]


def test_an_alarm_is_told_once_and_its_end_once(hasty: Application, way: Recorder) -> None:
    notifier = Notifier(hasty)
    notifier.look()
    alarm(hasty, "job_stopped", "1")
    alarm(hasty, "store_unreachable", "store")
    for _ in range(3):
        notifier.look()
    alarm(hasty, "job_stopped", "1", over=True)
    for _ in range(3):
        notifier.look()

    assert [subjects(message) for message in way.sent] == [(["1", "store"], []), ([], ["1"])]


def test_what_was_told_is_not_told_again_after_a_restart(hasty: Application, way: Recorder) -> None:
    alarm(hasty, "job_stopped", "1")
    Notifier(hasty).look()
    Notifier(hasty).look()

    assert len(way.sent) == 1


def test_what_was_over_before_a_way_was_set_up_is_not_told(
    hasty: Application, way: Recorder
) -> None:
    alarm(hasty, "job_stopped", "1")
    alarm(hasty, "job_stopped", "1", over=True)
    time.sleep(0.01)
    Notifier(hasty).look()

    assert not way.sent


def test_nothing_is_lost_while_the_receiver_is_away(hasty: Application, way: Recorder) -> None:
    notifier = Notifier(hasty)
    notifier.look()
    way.away = True
    alarm(hasty, "job_stopped", "1")
    notifier.look()
    alarm(hasty, "job_stopped", "1", over=True)
    alarm(hasty, "disk_low", "spool")
    notifier.look()
    way.away = False
    notifier.look()

    assert [subjects(message) for message in way.sent] == [(["spool"], ["1"])]


def test_alarms_are_gathered_and_messages_are_not_too_many(app: Application, way: Recorder) -> None:
    settings = with_settings(app.settings, notify_group_s=0.3, notify_interval_s=0.6)
    notifier = Notifier(open_application(settings))
    alarm(app, "job_stopped", "1")
    notifier.look()
    alarm(app, "job_stopped", "2")
    notifier.look()
    assert not way.sent

    time.sleep(0.35)
    notifier.look()
    alarm(app, "job_stopped", "3")
    notifier.look()
    time.sleep(0.35)
    notifier.look()
    assert [subjects(message) for message in way.sent] == [(["1", "2"], [])]

    time.sleep(0.35)
    notifier.look()
    assert subjects(way.sent[1]) == (["3"], [])


def test_while_the_database_is_away_the_node_tells_from_memory_and_once(
    hasty: Application, way: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    lasting = [AlarmChange(code="database_unreachable", subject="database", raised_at=1.0)]
    notifier = Notifier(hasty, lambda: lasting)
    notifier.look()

    def away(_self: Database) -> float:
        raise OperationalError("SELECT", {}, Exception("gone"))

    with monkeypatch.context() as patch:
        patch.setattr(Database, "now", away)
        notifier.look()
        notifier.look()
    alarm(hasty, "database_unreachable", "database")
    notifier.look()
    alarm(hasty, "database_unreachable", "database", over=True)
    notifier.look()

    assert [subjects(message) for message in way.sent] == [(["database"], []), ([], ["database"])]


@pytest.mark.parametrize("written", [AlarmMessage.to_text, AlarmMessage.to_json])
def test_the_words_of_an_alarm_never_leave(
    hasty: Application, way: Recorder, written: Callable[[AlarmMessage], object]
) -> None:
    alarm(hasty, "job_stopped", "1")
    Notifier(hasty).look()

    assert "Doe" not in str(written(way.sent[0]))


def test_very_many_alarms_make_one_message_of_bounded_length(
    hasty: Application, way: Recorder
) -> None:
    for number in range(LISTED_AT_MOST + 30):
        alarm(hasty, "job_stopped", str(number))
    Notifier(hasty).look()

    (message,) = way.sent
    assert message.to_json()["raised_count"] == LISTED_AT_MOST + 30
    assert len(message.to_json()["raised"]) == LISTED_AT_MOST
    assert "and 30 more" in message.to_text()
