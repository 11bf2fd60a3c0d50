from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from dicom_node.errors import TlsUnusable
from tests.unit.workers.context.messages import MllpClient, code_of, laboratory, message
from workers.context.hl7_accept import AcceptPolicy
from workers.context.hl7_receive import Receiver
from workers.context.inbox import MessageInbox
from workers.context.mllp import MllpLimits, MllpListener, tls_context

Listen = Callable[..., MllpListener]


@pytest.fixture
def inbox(tmp_path: Path) -> MessageInbox:
    return MessageInbox(tmp_path / "context")


@pytest.fixture
def listen(inbox: MessageInbox) -> Iterator[Listen]:
    running: list[MllpListener] = []

    def start(
        policy: AcceptPolicy = AcceptPolicy(),  # noqa: B008 - frozen
        tls: ssl.SSLContext | None = None,
        **limits: float,
    ) -> MllpListener:
        listener = MllpListener(
            Receiver(inbox=inbox, policy=policy),
            host="127.0.0.1",
            port=0,
            limits=MllpLimits(**limits),  # type: ignore[arg-type]
            tls=tls,
        )
        listener.start()
        running.append(listener)
        return listener

    yield start
    for listener in running:
        listener.stop()


def test_an_accepted_message_is_on_disk_when_its_sender_hears_so(
    listen: Listen, inbox: MessageInbox
) -> None:
    client = MllpClient(listen().port)

    answer = client.send(laboratory(control="C77"))

    assert code_of(answer) == "AA"
    assert "MSA|AA|C77|" in answer
    assert "|ACK^R01^ACK|" in answer
    (kept,) = inbox.waiting()
    assert kept.read_bytes().decode() == laboratory(control="C77")
    client.close()


@pytest.mark.parametrize(
    ("text", "code", "error"),
    [
        (message("SIU^S12"), "AR", "200"),
        (message("ADT^A99"), "AR", "201"),
        (message().replace("|P|2.5.1", "|T|2.5.1"), "AR", "202"),
        (message().replace("|P|2.5.1", "|P|3.0"), "AR", "203"),
        (message(control=""), "AE", "101"),
        (message(patient=""), "AE", "101"),
        (message().split("PID")[0], "AE", "100"),
        (message("ADT^A40"), "AE", "101"),
        (message(charset="KLINGON"), "AE", "102"),
        ("hello", "AR", "100"),
        ("", "AR", "100"),
    ],
)
def test_what_is_refused_is_answered_with_a_reason_and_kept_nowhere(
    listen: Listen, inbox: MessageInbox, text: str, code: str, error: str
) -> None:
    client = MllpClient(listen().port)

    answer = client.send(text)

    assert code_of(answer) == code
    (err,) = (line for line in answer.split("\r") if line.startswith("ERR"))
    assert err.split("|")[3].split("^")[0] == error
    assert err.split("|")[7]
    assert "Roe" not in answer
    assert inbox.waiting() == []
    assert code_of(client.send(laboratory())) == "AA"  # the connection goes on
    client.close()


def test_only_senders_of_the_settings_are_heard(listen: Listen) -> None:
    client = MllpClient(listen(AcceptPolicy(senders=("RIS|HOSP",))).port)

    assert code_of(client.send(laboratory())) == "AR"
    assert code_of(client.send(laboratory().replace("|LAB|", "|RIS|"))) == "AA"
    client.close()


def test_each_message_of_a_batch_has_an_answer_of_its_own(
    listen: Listen, inbox: MessageInbox
) -> None:
    client = MllpClient(listen().port)
    second = message("SIU^S12", control="B")
    batch = "BHS|^~\\&|LAB\r" + laboratory(control="A") + second + "BTS|2\r"

    answer = client.send(batch)

    assert answer.startswith("BHS|")
    assert answer.endswith("BTS|2\r")
    assert "MSA|AA|A|" in answer
    assert "MSA|AR|B|" in answer
    assert len(inbox.waiting()) == 1
    client.close()


def test_a_message_that_comes_in_pieces_and_two_at_once_are_each_answered(listen: Listen) -> None:
    client = MllpClient(listen().port)
    one, two = laboratory(control="A").encode(), laboratory(control="B").encode()

    for part in (b"noise\x0b" + one[:20], one[20:50], one[50:] + b"\x1c"):
        client.socket.sendall(part)
        time.sleep(0.05)
    client.socket.sendall(b"\r\x0b" + two + b"\x1c\r")
    first = client.answer()
    second = first if b"MSA|AA|B" in first else client.answer()

    assert b"MSA|AA|A" in first
    assert b"MSA|AA|B" in second
    client.close()


def test_a_message_whose_end_never_comes_is_not_kept(listen: Listen, inbox: MessageInbox) -> None:
    client = MllpClient(listen().port)
    client.socket.sendall(b"\x0b" + laboratory().encode())
    client.close()

    time.sleep(0.2)
    assert inbox.waiting() == []


def test_silence_ends_a_connection_and_a_slow_message_too(listen: Listen) -> None:
    port = listen(idle_timeout_s=0.3, message_timeout_s=0.3).port
    silent, slow = MllpClient(port), MllpClient(port)
    slow.socket.sendall(b"\x0b")
    for _ in range(4):  # each byte alone would be in time
        time.sleep(0.1)
        try:
            slow.socket.sendall(b"\r")
        except OSError:
            break

    assert silent.socket.recv(1) == b""
    with pytest.raises(ConnectionError):
        slow.answer()


def test_a_message_that_is_too_long_is_refused_unread(listen: Listen, inbox: MessageInbox) -> None:
    client = MllpClient(listen(maximum_bytes=2000).port)

    answer = client.send(laboratory() + "NTE|1||" + "x" * 200_000)

    assert code_of(answer) == "AR"
    assert "2000 bytes" in answer
    assert inbox.waiting() == []


def test_more_connections_than_allowed_are_closed_at_once(listen: Listen) -> None:
    port = listen(maximum_connections=1).port
    first = MllpClient(port)
    assert code_of(first.send(laboratory())) == "AA"

    with pytest.raises(ConnectionError):
        MllpClient(port).send(laboratory())
    assert code_of(first.send(laboratory())) == "AA"


def test_senders_that_are_too_fast_have_to_wait(listen: Listen) -> None:
    client = MllpClient(listen(messages_per_s=20.0).port)

    started = time.monotonic()
    codes = {code_of(client.send(laboratory(control=f"C{number}"))) for number in range(30)}

    assert codes == {"AA"}
    assert time.monotonic() - started >= 0.4  # 20 of them are the bucket's, 10 take 1/20 s each


def test_a_full_disk_is_told_so_that_the_sender_tries_again(listen: Listen) -> None:
    listener = listen()
    listener._receiver.inbox.reserve_bytes = 1 << 62
    client = MllpClient(listener.port)

    answer = client.send(laboratory())

    assert code_of(answer) == "AE"
    assert "send it again" in answer
    client.close()


def test_with_tls_the_same_is_said_in_private(tmp_path: Path, listen: Listen) -> None:
    certificate, key = write_certificate(tmp_path)
    port = listen(tls=tls_context(certificate, key, None)).port
    trusting = ssl.create_default_context(cafile=str(certificate))
    client = MllpClient(port)
    client.socket = trusting.wrap_socket(client.socket, server_hostname="localhost")

    assert code_of(client.send(laboratory())) == "AA"
    client.close()
    plain = MllpClient(port)
    with pytest.raises((ConnectionError, TimeoutError)):
        plain.send(laboratory())


def test_a_key_with_a_passphrase_is_said_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hush"),
        )
    )

    with pytest.raises(TlsUnusable, match="passphrase"):
        tls_context(certificate, key, None)


def test_with_a_client_ca_only_known_senders_may_connect(tmp_path: Path, listen: Listen) -> None:
    certificate, key = write_certificate(tmp_path)
    port = listen(tls=tls_context(certificate, key, certificate)).port
    unknown = ssl.create_default_context(cafile=str(certificate))
    known = ssl.create_default_context(cafile=str(certificate))
    known.load_cert_chain(certificate, key)

    client = MllpClient(port)
    client.socket = known.wrap_socket(client.socket, server_hostname="localhost")
    assert code_of(client.send(laboratory())) == "AA"
    client.close()
    assert not is_heard(port, unknown)


def is_heard(port: int, trust: ssl.SSLContext) -> bool:
    """Whether a sender gets an answer; in TLS 1.3 a refusal comes where the answer would."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        try:
            with trust.wrap_socket(plain, server_hostname="localhost") as wrapped:
                wrapped.sendall(b"\x0b" + laboratory().encode() + b"\x1c\r")
                return bool(wrapped.recv(1))
        except OSError:
            return False


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate of this machine and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(tz=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths
