"""Commands against a console elsewhere say what they say on its own machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result as Done
from typer.testing import CliRunner

from tests.unit.workers.console.live import LiveConsole
from tests.unit.workers.context.messages import laboratory, message
from tests.unit.workers.rows import add_delivery, add_job, add_result, alarms, get_job
from workers.application import Application, open_application
from workers.cli import output
from workers.cli.main import app as command
from workers.peer_settings import DestinationSettings
from workers.settings import Settings
from workers.state.access_tables import Role
from workers.state.alarms import raise_alarm
from workers.state.schema import DeliveryState, JobState
from workers.usecases.api_tokens import add_token
from workers.usecases.audit import at_the_command_line, list_audit

ME = at_the_command_line()
WIDTH = 200
Run = Callable[..., Done]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    opened = open_application(
        Settings(data_dir=tmp_path_factory.mktemp("data"), disk_reserve_bytes=0), migrate=True
    )
    yield opened
    opened.database.close()


@pytest.fixture(scope="module")
def live(app: Application, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveConsole]:
    destination = DestinationSettings(name="main", ae_title="MAIN", host="127.0.0.1", port=1)
    environment = {"PULMONODE_DESTINATIONS": f"[{destination.model_dump_json()}]"}
    with LiveConsole(
        app.settings.data_dir, tmp_path_factory.mktemp("console"), environment
    ) as running:
        yield running


@pytest.fixture(scope="module")
def token_file(app: Application, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("token") / "token"
    file.write_text(add_token(app, ME, "commands", Role.OPERATOR, days=1) + "\n")
    return file


@pytest.fixture
def local(app: Application, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call a command on the application's data folder."""
    monkeypatch.setattr(output.console, "_width", WIDTH)
    environment = {
        "PULMONODE_DATA_DIR": str(app.settings.data_dir),
        "PULMONODE_DISK_RESERVE_BYTES": "0",
        "PULMONODE_CALLING_AE_TITLES": "PACS",
        "PULMONODE_DESTINATIONS": '[{"name": "main", "ae_title": "MAIN", "host": "127.0.0.1", '
        '"port": 1}]',
    }
    return lambda *arguments: CliRunner().invoke(command, arguments, env=environment)


@pytest.fixture
def remote(
    live: LiveConsole, token_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Call a command against the console; no database of its own is within its reach."""
    monkeypatch.setattr(output.console, "_width", WIDTH)
    environment = {
        "PULMONODE_DATA_DIR": str(tmp_path / "nothing"),
        "PULMONODE_SERVER": live.url,
        "PULMONODE_TOKEN_FILE": str(token_file),
    }
    return lambda *arguments: CliRunner().invoke(command, arguments, env=environment)


@pytest.fixture(scope="module")
def filled(app: Application) -> None:
    """Jobs in several states, a result, an alarm, dead letters."""
    for number, state in enumerate((JobState.QUEUED, JobState.NOT_ELIGIBLE, JobState.RECEIVING)):
        add_job(app, state, series_uid=f"1.{number}", warnings=["a warning, [bold]as it is[/]"])
    done = add_job(app, JobState.DELIVERED, series_uid="1.7")
    add_result(app, done)
    add_delivery(app, done, state=DeliveryState.DELIVERED, delivered_at=5.0)
    add_job(
        app, JobState.FAILED, series_uid="1.9", reason_code="OSError", reason="disk", attempts=5
    )
    with app.database.write() as session:
        raise_alarm(session, "destination_silent", "main", "nothing was taken", at=app.now())


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    "arguments",
    [
        ("jobs", "list"),
        ("jobs", "list", "--json"),
        ("jobs", "list", "--limit", "2", "--state", "queued", "--state", "failed"),
        ("jobs", "list", "--reason", "OSError", "--json"),
        ("jobs", "list", "--text", "1.7", "--destination", "main"),
        ("jobs", "list", "--since", "2020-01-01"),
        ("jobs", "dead"),
        ("jobs", "dead", "--json"),
        ("jobs", "show", "1"),
        ("jobs", "show", "1.7"),
        ("jobs", "show", "4", "--json"),
        ("jobs", "show", "999"),
        ("jobs", "show", "1.2.3.4"),
        ("jobs", "statistics"),
        ("jobs", "statistics", "--json"),
        ("queue", "status"),
        ("queue", "status", "--json"),
        ("alarms",),
        ("alarms", "--json"),
        ("jobs", "cancel", "999"),
        ("jobs", "cancel", "2.3"),
        ("jobs", "force", "4"),
        ("jobs", "export", "1", "--out", "out"),
        ("jobs", "export", "1", "--fhir", "--out", "out"),
        ("context", "import", "nothing-there.json"),
        ("queue", "pause", "nothing"),
        ("jobs", "priority", "1", "highest"),
    ],
    ids=" ".join,
)
def test_a_command_says_the_same_here_and_from_afar(
    local: Run, remote: Run, arguments: tuple[str, ...]
) -> None:
    here, afar = local(*arguments), remote(*arguments)

    assert (afar.stdout, afar.stderr, afar.exit_code) == (here.stdout, here.stderr, here.exit_code)
    assert here.stdout or here.stderr


def test_the_doctor_examines_the_consoles_machine(local: Run, remote: Run) -> None:
    done = [run("doctor", "--json") for run in (local, remote)]
    here, afar = (json.loads(item.stdout) for item in done)

    # The live console's port is 0, which is not judged; the command here has the default.
    verdicts = [
        [(row["what"], row["ok"]) for row in rows if row["what"] != "console port"]
        for rows in (here, afar)
    ]
    assert verdicts[1] == verdicts[0]
    assert len(verdicts[0]) > 8
    assert [row["found"] for row in afar if row["what"] == "state database"] == [
        "sqlite: schema as needed"
    ]
    assert [item.exit_code for item in done] == [1, 1]  # destination main is away


@pytest.mark.parametrize(
    ("verb", "before"),
    [
        (("cancel",), JobState.QUEUED),
        (("retry",), JobState.FAILED),
        (("force",), JobState.NOT_ELIGIBLE),
        (("release",), JobState.ANALYSED),
        (("priority", "urgent"), JobState.QUEUED),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_an_action_does_and_says_the_same(
    app: Application, local: Run, remote: Run, verb: tuple[str, ...], before: JobState
) -> None:
    one = add_job(app, before, series_uid=f"5.{verb[0]}.1")
    other = add_job(app, before, series_uid=f"5.{verb[0]}.2")

    here = local("jobs", verb[0], str(one), *verb[1:])
    afar = remote("jobs", verb[0], str(other), *verb[1:])

    assert (here.exit_code, afar.exit_code) == (0, 0), here.stderr + afar.stderr
    assert afar.stdout.replace(str(other), str(one)) == here.stdout
    after = [get_job(app, job_id) for job_id in (one, other)]
    assert after[0].state == after[1].state
    assert after[0].priority == after[1].priority


def test_what_was_done_is_audited_under_who_did_it(
    app: Application, local: Run, remote: Run
) -> None:
    job_id = add_job(app, series_uid="6.1")
    local("jobs", "priority", "6.1", "urgent")
    remote("jobs", "cancel", "6.1")
    remote("jobs", "cancel", "6.1")

    with app.database.read() as session:
        rows = list_audit(session, job_id=job_id)
    assert [(row["who"], row["how"], row["action"], row["outcome"]) for row in rows] == [
        ("token commands", "api", "job.cancel", "refused"),
        ("token commands", "api", "job.cancel", "done"),
        (ME.name, "command line", "job.priority.urgent", "done"),
    ]


def test_dead_letters_are_started_again_from_afar(app: Application, remote: Run) -> None:
    job_id = add_job(app, JobState.FAILED, series_uid="7.1", reason_code="Seven")

    done = remote("jobs", "retry", "--code", "Seven")

    assert done.stdout == f"job {job_id}: receiving\n1 jobs started again\n"


def test_a_queue_is_held_back_from_afar(local: Run, remote: Run) -> None:
    held = remote("queue", "pause", "analyse").stdout
    seen = local("queue", "status", "--json").stdout
    remote("queue", "resume", "analyse")

    assert held == "analyse: paused\n"
    assert json.loads(seen)["paused"] == {"analyse": True, "deliver": False}
    assert json.loads(local("queue", "status", "--json").stdout)["paused"]["analyse"] is False


def test_context_is_taken_from_afar_with_the_answers_of_the_hl7_port(
    local: Run, remote: Run, tmp_path: Path
) -> None:
    file = tmp_path / "messages.hl7"
    good, bad = laboratory(control="AFAR-1", authority=""), message("ADT^A99", control="AFAR-2")
    file.write_bytes(f"{good}{bad}".encode())

    afar = remote("context", "import", str(file), "--json")
    here = local("context", "import", str(file))

    answers = json.loads(afar.stdout)
    assert [(item["message_id"], item["outcome"]) for item in answers] == [
        ("AFAR-1", "taken"),
        ("AFAR-2", ""),
    ]
    assert (afar.exit_code, here.exit_code) == (1, 1)
    assert "messages.hl7: 1 refused, 1 repeated" in here.stdout
    assert "AFAR-2: AR trigger event A99 is not taken" in here.stdout
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"resourceType": "Observation"}')
    said = [run("context", "import", str(wrong)) for run in (local, remote)]
    assert [item.exit_code for item in said] == [1, 1]
    assert all("put it into the Bundle" in item.stderr for item in said)


def test_a_result_is_fetched_with_all_its_files(
    app: Application, local: Run, remote: Run, tmp_path: Path
) -> None:
    add_result(app, add_job(app, JobState.DELIVERED, series_uid="8.1"), sop_uid="8.1.9")

    here = local("jobs", "export", "8.1", "--out", str(tmp_path / "here"))
    afar = remote("jobs", "export", "8.1", "--out", str(tmp_path / "afar"))

    assert afar.stdout.replace("afar", "here") == here.stdout
    files = [
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("here", "afar")
    ]
    assert files[0] == files[1]
    assert set(files[0]) == {"job.json", "findings.json", "sr.dcm"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--server", "http://pulmonode.example"), "the token would go in clear text"),
        (("--server", "ftp://x"), "is no URL of a console"),
        (("--server", "http://127.0.0.1:1"), "http://127.0.0.1:1/: "),
        (("--token-file", "/nothing"), "No such file"),
        (("--token-file", __file__), "holds no token"),
    ],
)
def test_what_is_wrong_with_the_server_is_one_clear_line(
    remote: Run, arguments: tuple[str, ...], said: str
) -> None:
    done = remote("jobs", "list", *arguments)

    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_token_that_does_not_count_or_suffice_is_said(
    app: Application, remote: Run, tmp_path: Path
) -> None:
    wrong, low = tmp_path / "wrong", tmp_path / "low"
    wrong.write_text("pulmonode_guess")
    low.write_text(add_token(app, ME, "low", Role.VIEWER, days=1))

    refused = remote("jobs", "list", "--token-file", str(wrong))
    too_low = remote("queue", "pause", "analyse", "--token-file", str(low))

    assert (refused.exit_code, too_low.exit_code) == (1, 1)
    assert "the token is unknown, revoked or too old" in refused.stderr
    assert "role viewer may not do this: it needs operator" in too_low.stderr


def test_an_alarm_is_told_by_the_exit_code(app: Application, remote: Run) -> None:
    assert ("destination_silent", "main") in alarms(app)
    assert remote("alarms").exit_code == 2


@pytest.fixture
def admin(
    app: Application, live: LiveConsole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Call a command against the console with an administrator's token."""
    monkeypatch.setattr(output.console, "_width", WIDTH)
    file = tmp_path / "admin"
    file.write_text(add_token(app, ME, f"admin-{tmp_path.name}", Role.ADMIN, days=1))
    environment = {
        "PULMONODE_DATA_DIR": str(tmp_path / "nothing"),
        "PULMONODE_SERVER": live.url,
        "PULMONODE_TOKEN_FILE": str(file),
    }
    return lambda *arguments: CliRunner().invoke(command, arguments, env=environment)


def test_users_and_tokens_are_managed_from_afar_as_here(
    app: Application, live: LiveConsole, local: Run, admin: Run, tmp_path: Path
) -> None:
    added = admin("users", "add", "jane@ward", "--role", "operator")
    again = admin("users", "link", "jane@ward")
    done = [
        admin("users", "role", "jane@ward", "viewer"),
        admin("users", "disable", "jane@ward"),
        admin("users", "enable", "jane@ward"),
        admin("tokens", "add", "from-afar", "--days", "1"),
        admin("tokens", "revoke", "from-afar"),
    ]

    for link in (added, again):
        assert f"{live.url}/link/" in link.output.replace("\n", ""), link.output
    assert [item.exit_code for item in done] == [0] * 5, [item.output for item in done]
    for arguments in (("users", "list"), ("users", "list", "--json"), ("tokens", "list")):
        assert admin(*arguments).output == local(*arguments).output
    with app.database.read() as session:
        rows = list_audit(session, limit=7)
    assert {row["who"] for row in rows} == {f"token admin-{tmp_path.name}"}
    assert not (tmp_path / "nothing").exists()  # this machine's own database was let alone


def test_the_audit_is_read_from_afar(admin: Run, local: Run) -> None:
    assert json.loads(admin("audit", "--json", "--limit", "3").output) == json.loads(
        local("audit", "--json", "--limit", "3").output
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("users", "password", "jane@ward", "--stdin"), "users link"),
        (("audit", "--export", "csv"), "on the console's own machine"),
    ],
)
def test_what_stays_on_the_consoles_machine_says_so(
    admin: Run, arguments: tuple[str, ...], said: str
) -> None:
    refused = admin(*arguments)

    assert refused.exit_code == 1
    assert said in refused.output


def test_an_operator_manages_nobody_from_afar(remote: Run) -> None:
    for arguments in (("users", "list"), ("tokens", "list"), ("audit",)):
        refused = remote(*arguments)
        assert refused.exit_code == 1
        assert "role" in refused.output


def test_a_digit_that_is_no_number_is_no_job(remote: Run) -> None:
    done = remote("jobs", "show", "\u00b2")

    assert done.exit_code == 1
    assert "no job" in done.stderr
