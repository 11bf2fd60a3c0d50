"""Container and compose files, as far as they can be checked where no container engine runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.conftest import REPOSITORY, missing, need_program
from workers.settings import Settings

CONTAINERS = REPOSITORY / "deploy/containers"
COMPOSE = REPOSITORY / "deploy/compose"
FILES = ("compose.yaml", "gpu.yaml", "demo.yaml")
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pulmonode"
SCHEMA = CACHE / "compose-schema-3.1.0.json"  # deploy/setup/compose-schema.sh
ROLES = {"node": "node", "worker": "worker", "console": "console"}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    if not SCHEMA.exists():
        missing("the schema of compose files (deploy/setup/compose-schema.sh)")
    found: dict[str, Any] = json.loads(SCHEMA.read_text())
    return found


def loaded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((COMPOSE / name).read_text())
    return found


@pytest.mark.peer
@pytest.mark.parametrize("role", ROLES)
def test_hadolint_finds_nothing_in_a_container_file(role: str) -> None:
    path = CONTAINERS / f"{role}.Containerfile"

    done = subprocess.run(
        [need_program("hadolint"), str(path)], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("role", ROLES)
def test_a_container_installs_its_extra_runs_its_role_and_is_not_root(role: str) -> None:
    text = (CONTAINERS / f"{role}.Containerfile").read_text()

    assert f'pip install ".[{ROLES[role]}]"' in text
    assert re.search(r"^USER 10001$", text, re.MULTILINE)
    assert 'ENTRYPOINT ["pulmonode"]' in text
    (command,) = re.findall(r"^CMD (\[.*\])$", text, re.MULTILINE)
    assert json.loads(command)[0] == role
    copied = {name for line in re.findall(r"^COPY ((?!--from).*)$", text, re.MULTILINE)
              for name in line.split()[:-1]}  # fmt: skip
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert {f"!{name}" for name in copied} <= set(ignored)
    assert all((REPOSITORY / name).exists() for name in copied)


@pytest.mark.parametrize("name", FILES)
def test_a_compose_file_is_one_by_its_schema(schema: dict[str, Any], name: str) -> None:
    jsonschema.Draft7Validator(schema).validate(loaded(name))


def test_a_planted_mistake_is_found(schema: dict[str, Any]) -> None:
    wrong = loaded("compose.yaml")
    wrong["services"]["node"]["port"] = ["11112:11112"]

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema).validate(wrong)


@pytest.mark.parametrize("name", FILES)
def test_what_a_compose_file_names_is_there(name: str) -> None:
    found = loaded(name)
    base = loaded("compose.yaml")
    volumes = {*found.get("volumes", {}), *base["volumes"]}
    for service in found["services"].values():
        build = service.get("build")
        if build is not None:
            assert (COMPOSE / build["context"] / build["dockerfile"]).exists()
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (COMPOSE / source).exists(), source
            else:
                assert source in volumes
        for secret in service.get("secrets", ()):
            assert secret in base["secrets"]


def test_every_variable_for_us_is_a_setting_and_the_values_hold_together(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = {f"PULMONODE_{name.upper()}" for name in Settings.model_fields}
    values = {
        **dict(
            line.split("=", 1)
            for line in (COMPOSE / ".env.example").read_text().splitlines()
            if "=" in line and not line.startswith("#")
        )
    }
    services = loaded("compose.yaml")["services"]
    (tmp_path / "pulmonode_state_url").write_text("postgresql+psycopg://pulmonode:x@postgres/p")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    for role in ("migrate", "node", "worker", "deliver", "console"):
        with monkeypatch.context() as patch:
            for name, value in services[role]["environment"].items():
                assert name in known, f"{role}: {name}"
                patch.setenv(name, _put_in(str(value), values))
            settings = Settings()
        assert settings.calling_ae_titles == ("PACS",)
        assert [item.name for item in settings.destinations] == ["pacs"]
        assert settings.state_url is not None


def test_commands_of_containers_are_commands_of_ours() -> None:
    for service in loaded("compose.yaml")["services"].values():
        if service["image"].startswith("pulmonode-"):
            assert service["command"][0] in {"node", "worker", "console", "migrate"}


def test_prometheus_scrapes_every_service_of_ours() -> None:
    config = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())
    (targets,) = [item["targets"] for item in config["scrape_configs"][0]["static_configs"]]

    assert {target.split(":")[0] for target in targets} == {"node", "worker", "deliver", "console"}


@pytest.mark.peer
def test_the_script_makes_secrets_that_the_settings_read(tmp_path: Path) -> None:
    need_program("openssl")
    script = tmp_path / "make-secrets.sh"
    script.write_text((COMPOSE / "make-secrets.sh").read_text())
    subprocess.run(["bash", str(script), "console.example"], check=True, capture_output=True)
    first = (tmp_path / "secrets" / "state_url").read_text()
    subprocess.run(["bash", str(script), "console.example"], check=True, capture_output=True)

    assert (tmp_path / "secrets" / "state_url").read_text() == first
    assert re.fullmatch(r"postgresql\+psycopg://pulmonode:[0-9a-f]{48}@postgres/pulmonode", first)
    for name, each in loaded("compose.yaml")["secrets"].items():
        assert (tmp_path / each["file"]).exists(), name


def _put_in(text: str, values: dict[str, str]) -> str:
    """Variables as compose puts them in: ``${NAME:-default}``, ``${NAME:?why}``."""

    def value(match: re.Match[str]) -> str:
        default = match[3] if match[2] == ":-" else ""
        return values.get(match[1], default).strip("'")

    return re.sub(r"\$\{(\w+)(?:(:-|:\?)([^}]*))?\}", value, text)
