from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tests.unit.workers.context.messages import MllpClient
from tests.unit.workers.context.mutated import fhir_bundle, hl7_message
from workers.application import Application
from workers.context.fhir_facts import read_fhir
from workers.context.hl7_accept import AcceptPolicy
from workers.context.hl7_receive import Receiver
from workers.context.items import load_items
from workers.context.mllp import MllpLimits, MllpListener
from workers.errors import ContextRefused
from workers.state.context_tables import ContextMessage
from workers.usecases.take_messages import open_inbox, take_messages

SEED = 20261126
MANY = pytest.param(10_000, marks=[pytest.mark.long, pytest.mark.timeout(3000)])


@pytest.mark.parametrize("count", [300, MANY])
def test_every_message_is_answered_and_every_accepted_one_is_in_the_database(
    app: Application, count: int
) -> None:
    chance = random.Random(SEED)
    inbox = open_inbox(app.settings)
    listener = MllpListener(
        Receiver(inbox=inbox, policy=AcceptPolicy()),
        host="127.0.0.1",
        port=0,
        limits=MllpLimits(messages_per_s=100_000.0),
    )
    listener.start()
    client = MllpClient(listener.port, timeout_s=60)
    accepted = refused = 0
    for _ in range(count):
        answer = client.send(hl7_message(chance))
        codes = re.findall(r"MSA\|(A[AER])\|", answer)
        assert codes
        accepted += codes.count("AA")
        refused += len(codes) - codes.count("AA")
        reasons = re.findall(r"ERR\|\|[^|]*\|\d+\^[^|]*\|E\|\|\|([^|]+)\|", answer)
        assert len(reasons) == len(codes) - codes.count("AA")
    client.close()
    listener.stop()
    files = len(inbox.waiting())
    distinct = len({path.read_bytes() for path in inbox.waiting()})

    while take_messages(app):
        pass

    assert accepted == files
    assert min(accepted, refused) > count / 10
    assert inbox.waiting() == []
    with app.database.read() as session:
        assert session.scalar(select(func.count()).select_from(ContextMessage)) == distinct


@pytest.mark.parametrize("count", [300, MANY])
def test_every_bundle_is_read_or_refused_with_a_reason(count: int) -> None:
    chance = random.Random(SEED)
    table = load_items(None)
    taken = refused = 0
    for _ in range(count):
        data = fhir_bundle(chance)
        try:
            read_fhir(data, table)
            taken += 1
        except ContextRefused as error:
            refused += bool(error.why)

    assert taken + refused == count
    assert min(taken, refused) > count / 20


def test_no_answer_and_no_log_line_says_anything_of_the_patient(
    app: Application, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    del tmp_path
    chance = random.Random(SEED)
    receiver = Receiver(inbox=open_inbox(app.settings), policy=AcceptPolicy())
    said = "".join(receiver.receive(hl7_message(chance), "peer").decode() for _ in range(50))
    take_messages(app)
    output = capfd.readouterr()

    for word in ("Roe", "Jane", "19600402", "4711"):
        assert word not in said
        assert word not in output.out + output.err
