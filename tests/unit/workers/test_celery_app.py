from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.service import free_port
from tests.servers.authority import Authority
from tests.servers.redis_server import RedisServer
from workers.broker import ANALYSE
from workers.celery_app import broker_answers, make_celery


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


class GuardedRedis(RedisServer):
    """Redis that speaks TLS alone, and to whoever knows its password."""

    def __init__(self, folder: Path, port: int, authority: Authority, password: str) -> None:
        super().__init__(folder, port)
        self.authority, self.password = authority, password

    def command(self) -> list[str]:
        pair = self.authority.issue("redis")
        return [
            *super().command(),
            *("--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"),
            *("--tls-cert-file", str(pair.certificate), "--tls-key-file", str(pair.key)),
            *("--tls-ca-cert-file", str(self.authority.file), "--requirepass", self.password),
        ]

    def answers(self) -> bool:
        return broker_answers(self.guarded_url(self.password, self.authority)) is None

    def guarded_url(self, password: str, authority: Authority) -> str:
        checked = f"ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs={authority.file}"
        return f"rediss://:{password}@{self.host}:{self.port}/0?{checked}"


@pytest.mark.peer
def test_a_broker_is_reached_over_tls_with_its_password_and_not_otherwise(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "keys", "hospital")
    stranger = Authority(tmp_path / "strange", "stranger")
    with GuardedRedis(tmp_path, free_port(), authority, "long-and-secret") as server:
        right = server.guarded_url("long-and-secret", authority)
        app = make_celery(right)
        app.send_task("workers.tasks.analyse")
        with app.connection_for_read() as connection:
            assert received(connection)

        answers = [
            broker_answers(right),
            broker_answers(server.guarded_url("wrong", authority)),
            broker_answers(server.guarded_url("long-and-secret", stranger)),
            broker_answers(server.url),
        ]

    assert answers[0] is None
    assert all(answers[1:])
