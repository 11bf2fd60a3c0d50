"""All settings of all processes, each with its unit, bounds and meaning.

Read from the environment (``PULMONODE_*``), below that from files named ``pulmonode_<setting>``
in ``CREDENTIALS_DIRECTORY`` (systemd's credentials, a container's secrets), and below that from the
YAML file that ``PULMONODE_CONFIG`` names. Unknown keys in the file are refused.
``docs/configuration.md`` lists them; a test compares the two.
"""

from __future__ import annotations

import math
import os
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from workers.console_settings import ConsoleSettings
from workers.context_settings import ContextSettings
from workers.grading_settings import GradingSettings
from workers.hl7_settings import Hl7Settings
from workers.monitoring_settings import MonitoringSettings
from workers.peer_settings import (
    AeTitle,
    AnyDestination,
    PacsQuerySettings,
    Port,
    PriorPacsSettings,
)
from workers.receive_settings import ReceiveSettings

THREADS_AT_MOST = 256
"""For one analysis; more would not make it faster."""


class Settings(
    ConsoleSettings,
    ContextSettings,
    GradingSettings,
    Hl7Settings,
    MonitoringSettings,
    ReceiveSettings,
):
    """Settings of node, workers, console and command line."""

    model_config = SettingsConfigDict(env_prefix="PULMONODE_", extra="forbid", frozen=True)

    data_dir: Path = Field(
        default=Path("/var/lib/pulmonode"), description="spool, results, database and broker files"
    )
    state_url: str | None = Field(
        default=None,
        description="SQLAlchemy URL of the state database; SQLite in data_dir if unset",
    )
    store_url: str | None = Field(
        default=None,
        description="object store for instances and results: a folder or an fsspec URL such as "
        "s3://bucket/prefix; a folder in data_dir if unset",
    )
    broker_url: str | None = Field(
        default=None, description="Redis or Valkey URL; embedded Valkey in data_dir if unset"
    )

    ae_title: AeTitle = Field(default="PULMONODE", description="our AE title, called and calling")
    host: str = Field(default="0.0.0.0", description="address that the DICOM port listens on")  # noqa: S104 - a PACS must reach us
    dicom_port: Port = Field(default=11112, description="DICOM port; 0 chooses a free one")
    calling_ae_titles: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="AE titles allowed to call us, comma separated; the word any lets all in",
    )
    maximum_associations: int = Field(default=32, ge=1, le=1000, description="open at once")
    network_timeout_s: float = Field(
        default=60, gt=0, le=3600, description="silence after which an association is dropped"
    )
    disk_reserve_bytes: int = Field(
        default=2_000_000_000,
        ge=0,
        description="free bytes under which no association is accepted; under half of it no "
        "instance of an open one; an alarm comes at twice as much",
    )

    quiet_time_s: float = Field(
        default=20, gt=0, le=3600, description="silence after which a series counts as complete"
    )
    incomplete_wait_s: float = Field(
        default=300, ge=0, le=86400, description="how long a series with a hole waits for more"
    )
    incomplete_policy: Literal["analyse", "refuse"] = Field(
        default="refuse", description="what becomes of a series whose hole was never filled"
    )
    maximum_series_instances: int = Field(
        default=3000,
        ge=1,
        description="a series of more images is not analysed: node and workers hold all of one "
        "at once",
    )
    study_hold_s: float = Field(
        default=30,
        ge=0,
        le=86400,
        description="how long an eligible series waits for a better one of its study",
    )
    pacs_query: PacsQuerySettings | None = Field(
        default=None,
        description="the PACS's query service: asked how many instances a series has, and whose "
        "study it is when patient data change",
    )
    urgent_calling_ae_titles: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="their series are analysed first, comma separated"
    )
    off_peak_calling_ae_titles: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="their series are analysed last, comma separated"
    )
    starvation_s: float = Field(
        default=1800,
        gt=0,
        le=604800,
        description="a job that waited for so long comes first, whatever its priority",
    )
    not_analysed_report: bool = Field(
        default=True,
        description="whether a report goes out when nothing of a study with a chest CT could be "
        "analysed; one for each study",
    )
    not_analysed_wait_s: float = Field(
        default=600,
        ge=0,
        le=604800,
        description="how long after the last series of such a study ended the report is made",
    )
    profiles_dir: Path | None = Field(
        default=None,
        description="folder of the site's own profiles (YAML), the same path on node and workers; "
        "they stand beside the shipped ones and replace those of the same name",
    )
    font_file: Path | None = Field(
        default=None,
        description="TrueType font for what is not written in Latin letters, in pictures and "
        "pages; a known one is looked for if unset",
    )
    rules_file: Path | None = Field(
        default=None, description="eligibility rules (YAML); the packaged ones if unset"
    )
    detector: Literal["trained", "classical", "monai"] = Field(
        default="trained",
        description="what finds nodules: the trained network, image processing, or a MONAI "
        "bundle of the site",
    )
    monai_bundle: Path | None = Field(
        default=None,
        description="folder of the MONAI bundle lung_nodule_ct_detection, for detector monai",
    )
    monai_threshold: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="score from which the bundle's findings are listed: measure it on own data",
    )
    weights_dir: Path | None = Field(
        default=None,
        description="folder with weights that the site trained, the same path on every worker; "
        "what its manifest does not name is taken from those that came with this version",
    )
    bank_dir: Path | None = Field(
        default=None,
        description="folder of the site's typical-case bank, the same path on every worker; the "
        "bank that came with this version if unset",
    )
    backend: Literal["auto", "torch", "openvino", "onnxruntime"] = Field(
        default="auto",
        description="what runs the networks; auto: torch on a GPU, else the fastest installed",
    )
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:[0-9]{1,2})?)$",
        description="auto, cpu, cuda or cuda:N",
    )
    threads: int = Field(
        default=0,
        ge=0,
        le=THREADS_AT_MOST,
        description="of the CPU for one analysis; 0: the cores of this machine or container, "
        "shared among a worker's processes",
    )
    segmenter: Literal["trained", "classical"] = Field(
        default="trained",
        description="what outlines and types nodules: the trained network or image processing",
    )
    grader: Literal["trained", "none"] = Field(
        default="trained",
        description="what gives nodules a model level: the trained graph, or nothing",
    )

    priors: Literal["own", "off"] = Field(
        default="own",
        description="earlier chest CTs to compare with: those of the same patient that this "
        "system has analysed itself, or none",
    )
    prior_pacs: PriorPacsSettings | None = Field(
        default=None,
        description="a PACS that an earlier chest CT is fetched from (C-FIND, C-GET or C-MOVE) "
        "where this system has none of its own",
    )

    lease_s: float = Field(
        default=60, ge=2, le=3600, description="a worker that is silent for so long counts as dead"
    )
    analyse_limit_s: int = Field(
        default=1800, ge=10, le=86400, description="hard limit for the analysis of one series"
    )
    max_attempts: int = Field(default=5, ge=1, le=100, description="of one analysis")
    max_delivery_attempts: int = Field(
        default=50, ge=1, le=10000, description="of one delivery to one destination"
    )
    retry_base_s: float = Field(default=5, gt=0, le=3600, description="first back-off")
    retry_cap_s: float = Field(default=900, gt=0, le=86400, description="longest back-off")
    commitment_wait_s: float = Field(
        default=3600, gt=0, le=604800, description="for a storage commitment result"
    )
    delivery_alarm_s: float = Field(
        default=900,
        ge=0,
        le=604800,
        description="a destination that has taken nothing for so long raises an alarm",
    )
    worker_alarm_s: float = Field(
        default=600,
        ge=0,
        le=604800,
        description="due work that no worker takes for so long raises an alarm",
    )
    outage_alarm_s: float = Field(
        default=30,
        ge=0,
        le=86400,
        description="a disk, database, broker or object store that fails for so long raises an "
        "alarm",
    )
    hint_again_s: float = Field(
        default=60,
        gt=0,
        le=3600,
        description="work that no worker took for so long is announced again",
    )
    tick_s: float = Field(default=1.0, gt=0, le=60, description="how often the node looks around")

    keep_received_days: float = Field(
        default=180,
        ge=0,
        le=36500,
        description="how long received instances stay after every destination has confirmed their "
        "result; 0: for ever",
    )
    keep_ended_days: float = Field(
        default=365,
        ge=0,
        le=36500,
        description="how long received instances stay whose series ended without a confirmed "
        "result, and files kept aside once somebody has decided; 0: for ever",
    )
    keep_results_days: float = Field(
        default=0,
        ge=0,
        le=36500,
        description="how long findings and objects stay after every destination has confirmed "
        "them; 0: for ever",
    )
    keep_history_days: float = Field(
        default=0,
        ge=0,
        le=36500,
        description="how long a job's lines of history and the headers of its instances stay "
        "after its end, once its instances and its result are removed; 0: for ever",
    )

    destinations: tuple[AnyDestination, ...] = Field(
        default=(), description="PACS, and RIS, that results go to"
    )
    log_format: Literal["json", "console"] = Field(default="json", description="of log lines")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least severe level written"
    )

    @field_validator(
        "calling_ae_titles",
        "urgent_calling_ae_titles",
        "off_peak_calling_ae_titles",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments over environment over credential files over the YAML file."""
        del dotenv_settings, file_secret_settings
        sources: list[PydanticBaseSettingsSource] = [init_settings, env_settings]
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        if credentials:
            sources.append(SecretsSettingsSource(settings_cls, secrets_dir=credentials))
        config = os.environ.get("PULMONODE_CONFIG")
        if config:
            sources.append(YamlConfigSettingsSource(settings_cls, yaml_file=config))
        return tuple(sources)

    @model_validator(mode="after")
    def _bundle_is_named(self) -> Self:
        if self.detector == "monai" and self.monai_bundle is None:
            raise ValueError("detector monai needs monai_bundle, the bundle's folder")
        return self

    @model_validator(mode="after")
    def _the_bank_has_what_counts(self) -> Self:
        if self.bank_dir is not None and self.grade_by_simulated:
            raise ValueError(
                f"grade_by names {', '.join(self.grade_by_simulated)}, which the cases of a site's "
                "bank have not: unset bank_dir, or leave these out"
            )
        return self

    @model_validator(mode="after")
    def _nothing_goes_before_what_it_rests_on(self) -> Self:
        rising = ("keep_received_days", "keep_results_days", "keep_history_days")
        for shorter, longer in (("keep_received_days", "keep_ended_days"), *pairwise(rising)):
            first = getattr(self, shorter) or math.inf
            if first > (getattr(self, longer) or math.inf):
                raise ValueError(f"{longer} is shorter than {shorter}, which has to end before it")
        return self

    @field_validator("destinations")
    @classmethod
    def _unique_names(cls, value: tuple[AnyDestination, ...]) -> tuple[AnyDestination, ...]:
        names = [item.name for item in value]
        if len(set(names)) != len(names):
            raise ValueError(f"two destinations of the same name among {', '.join(names)}")
        return value

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the state database."""
        return self.state_url or f"sqlite:///{self.data_dir / 'state.sqlite'}"

    @property
    def spool_dir(self) -> Path:
        """Folder of received instances."""
        return self.data_dir / "spool"

    @property
    def context_dir(self) -> Path:
        """Folder of received HL7 messages and FHIR resources."""
        return self.data_dir / "context"

    @property
    def object_store_url(self) -> str:
        """Where instances and results are kept."""
        return self.store_url or str(self.data_dir / "store")

    def destination(self, name: str) -> AnyDestination | None:
        """The destination of that name, or `None` when it is not configured any more."""
        return next((item for item in self.destinations if item.name == name), None)
