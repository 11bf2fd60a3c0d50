from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.service import free_port
from tests.servers.redis_server import RedisServer
from workers.celery_app import ANALYSE, make_celery


def received(connection: object) -> object:
    """The first message of the queue `analyse`, taken by a consumer with room for one."""
    messages: list[object] = []
    channel = connection.default_channel  # type: ignore[attr-defined]
    channel.basic_qos(0, 1, False)
    channel.basic_consume(ANALYSE, False, messages.append, "consumer")
    while not messages:
        connection.drain_events(timeout=5)  # type: ignore[attr-defined]
    return messages[0]


@pytest.mark.peer
@pytest.mark.parametrize("answer", ["ack", "reject"])
def test_an_answer_that_the_broker_never_gets_costs_the_worker_no_turn(
    answer: str, tmp_path: Path
) -> None:
    with RedisServer(tmp_path, free_port()) as server:
        app = make_celery(server.url)
        with app.connection_for_read() as connection:
            app.send_task("workers.tasks.analyse")
            message = received(connection)
            room = connection.default_channel.qos.can_consume
            assert not room()
            server.kill()

            with pytest.raises(connection.connection_errors):
                getattr(message, answer)()

            assert room()
        app.close()
