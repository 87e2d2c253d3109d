"""Settings: every one declared once, with its meaning; read from flags, environment, a TOML file, defaults."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from app.core.alert import MIN_ALERT_BYTES
from app.core.clock import parse_iso_time
from app.core.duration import parse_duration
from app.core.ring import SLOTS
from app.core.source_format import SourceFormat
from app.errors import SettingsError

ENV_PREFIX: Final = "EXIMWATCH_"
CONFIG_VARIABLE: Final = f"{ENV_PREFIX}CONFIG"

PACKAGED_RULES: Final = Path(__file__).parent.parent / "rules"

LINK_SETTINGS: Final = (
    "brokers",
    "tls",
    "tls_ca",
    "tls_cert",
    "tls_key",
    "sasl_mechanism",
    "sasl_username",
    "sasl_password",
    "sasl_password_file",
    "allow_sasl_without_tls",
)
"""The settings of whatever talks to Kafka."""

SECRETS: Final = frozenset({"sasl_password"})
"""Settings that are never shown, and have no flag: everyone on the machine can read a command line."""


def _split(value: object) -> object:
    """Lists may come as one text with commas (environment, flags) or as a list (TOML)."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _duration(value: str) -> str:
    if parse_duration(value) == 0:
        raise ValueError("must be longer than nothing")
    return value


def _start_from(value: str) -> str:
    if value not in ("earliest", "latest") and parse_iso_time(value) is None:
        raise ValueError("must be earliest, latest or an ISO 8601 time")
    return value


def _alert_from(value: str | None) -> str | None:
    if value is not None and value != "start" and parse_iso_time(value) is None:
        raise ValueError('must be "start" or an ISO 8601 time')
    return value


def _listen(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if value != "none" and not (colon and host and port.isdecimal() and int(port) < 65_536):
        raise ValueError("must be host:port (port 0 takes a free one) or none")
    return value


def _batches(value: tuple[str, ...]) -> tuple[str, ...]:
    for batch in value:
        topic, _, rest = batch.rpartition(":")[0].rpartition(":")
        if not topic or not rest.isdecimal() or not batch.rpartition(":")[2].isdecimal():
            raise ValueError(f"{batch!r} must be topic:partition:offset")
    return value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), Field(min_length=1)]
Duration = Annotated[str, AfterValidator(_duration)]


class Settings(BaseSettings):
    """Everything a worker can be told.

    Field names are the keys of the TOML file and, with dashes, the flags; the environment spells them
    `EXIMWATCH_…` in upper case.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, extra="forbid", frozen=True, env_ignore_empty=True, hide_input_in_errors=True
    )

    brokers: Names = Field(("127.0.0.1:9092",), description="Kafka's bootstrap addresses, `host:port`.")
    tls: bool = Field(False, description="Talk to Kafka over TLS; certificates and host names are checked.")
    tls_ca: Path | None = Field(None, description="PEM file of the authorities to trust. Default: the system's.")
    tls_cert: Path | None = Field(None, description="PEM file of the client's certificate, if Kafka asks for one.")
    tls_key: Path | None = Field(None, description="PEM file of that certificate's key, not encrypted.")
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="Log in to Kafka: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512. Default: no login."
    )
    sasl_username: Annotated[str, Field(min_length=1)] | None = Field(None, description="The user to log in as.")
    sasl_password: Annotated[SecretStr, Field(min_length=1)] | None = Field(
        None, description="That user's password, for trying things; production names a file instead."
    )
    sasl_password_file: Path | None = Field(
        None, description="File whose one line is that password; read at every start."
    )
    allow_sasl_without_tls: bool = Field(
        False, description="Log in although the link is in the clear, where the network can be trusted."
    )
    source_topics: Names = Field(
        ("process-events",), description="Topics that carry process events; any partitioning, any key."
    )
    source_format: SourceFormat = Field(
        "ecs",
        description="What a source record is: `ecs`, the event itself; `message`, an object whose field `message` "
        "holds the event's JSON as a string. The same for all workers.",
    )
    data_dir: Path = Field(
        Path("eximwatch-data"),
        description="Directory of this worker's RocksDB tables: persistent, and one for each worker.",
    )
    topic_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._\-]{0,99}$")] = Field(
        "eximwatch",
        description="Begins the names of all topics of ours, and is the consumer group. One installation, one prefix.",
    )
    partitions: Annotated[int, Field(ge=1, le=10_000)] = Field(
        12, description="Partitions of the matches topic and the changelogs; final once the topics exist."
    )
    replication_factor: Annotated[int, Field(ge=1, le=32_767)] = Field(
        3, description="Copies of each topic that `topics create` makes; 1 on a single broker."
    )
    rules: Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_split), Field(min_length=1)] = Field(
        (PACKAGED_RULES,),
        description="Rule files, or directories of `*.toml`. Default: the rules that are shipped.",
    )
    start_from: Annotated[str, AfterValidator(_start_from)] = Field(
        "earliest",
        description="Where a group that has no offsets yet begins in the source topics: earliest, latest or a time.",
    )
    alert_from: Annotated[str | None, AfterValidator(_alert_from)] = Field(
        None,
        description="Matches before this only build history: a time, or `start` (the installation's first).",
    )
    max_future_skew: Duration = Field(
        "5m", description="How far an event's clock may lie after the time at which its match was taken."
    )
    source_max_bytes: Annotated[int, Field(ge=1024, le=100_000_000)] = Field(
        1_048_588, description="The source topics' `max.message.bytes`; ours allow 64 KiB more."
    )
    max_alert_bytes: Annotated[int, Field(ge=MIN_ALERT_BYTES, le=100_000_000)] = Field(
        1_000_000, description="An alert's greatest size; the largest source fields are cut to keep it."
    )
    commit_interval: Duration = Field("1s", description="How often finished offsets are committed.")
    session_timeout: Duration = Field("30s", description="Without a heartbeat for this long a worker is out.")
    effect_timeout: Duration = Field(
        "45s",
        description="A send that is not acknowledged by then ends the worker; it starts again without loss.",
    )
    watchdog_timeout: Duration = Field(
        "60s", description="Without progress for this long, while Kafka answers and there is work, a worker ends."
    )
    fetch_max_wait: Annotated[int, Field(ge=1, le=30_000)] = Field(
        500, description="Milliseconds that a fetch may wait for something new."
    )
    buffered_receive: bool = Field(
        True, description="Read responses into one buffer; false uses the Kafka client's own reader, which is slower."
    )
    table_cache_bytes: Annotated[int, Field(ge=1_048_576)] = Field(
        8_388_608,
        description="RocksDB's block cache for each partition of each table; its write buffers take as much.",
    )
    lineage_slots: Annotated[int, Field(ge=16, le=65_536)] = Field(
        SLOTS, description="Processes that are remembered of each host, to tell the lineage of later ones."
    )
    sieve: bool = Field(
        True,
        description="Drop batches without a needle before they are parsed; false parses everything, for comparison.",
    )
    skip_corrupt: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_batches)] = Field(
        (), description="Corrupt batches that may be passed over, `topic:partition:offset` as the error names them."
    )
    check_topics: bool = Field(
        True,
        description="Compare the topics with their declaration at start; false only on the demo's broker.",
    )
    http_listen: Annotated[str, AfterValidator(_listen)] = Field(
        "127.0.0.1:9464",
        description="Where `/metrics`, `/livez` and `/readyz` are answered: `host:port`, or `none`. Port 0 takes a "
        "free one, which is logged.",
    )
    ready_max_lag: Annotated[int, Field(ge=0)] = Field(
        100_000, description="A worker is ready while no partition of its lags by more offsets than this."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What is logged.")
    log_format: Literal["console", "json"] = Field(
        "console", description="How: `console`, lines for people, or `json`, one object in ECS's names a line."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags win over the environment, that over the file named by EXIMWATCH_CONFIG, that over defaults."""
        del dotenv_settings, file_secret_settings
        file = os.environ.get(CONFIG_VARIABLE)
        if not file:
            return init_settings, env_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, Path(file))

    @model_validator(mode="after")
    def _effects_end_first(self) -> Self:
        if parse_duration(self.effect_timeout) >= parse_duration(self.watchdog_timeout):
            raise ValueError(
                f"effect_timeout ({self.effect_timeout}) must be shorter than watchdog_timeout "
                f"({self.watchdog_timeout}): a slow send would be taken for a stuck worker"
            )
        return self

    @property
    def matches_topic(self) -> str:
        """Name of the topic between the two steps."""
        return f"{self.topic_prefix}.matches"

    @property
    def alerts_topic(self) -> str:
        """Name of the topic of alerts."""
        return f"{self.topic_prefix}.alerts"

    @property
    def dead_letters_topic(self) -> str:
        """Name of the topic of dead letters."""
        return f"{self.topic_prefix}.dead-letters"

    @property
    def changelog_topic(self) -> str:
        """Name of the new-terms table's changelog, as Faust derives it from group and table."""
        return f"{self.topic_prefix}-new_terms-changelog"

    @property
    def lineage_changelog_topic(self) -> str:
        """Name of the lineage table's changelog, by the same rule."""
        return f"{self.topic_prefix}-lineage-changelog"

    @property
    def http_address(self) -> tuple[str, int] | None:
        """Host and port of the HTTP server; None where there is to be none."""
        host, _, port = self.http_listen.rpartition(":")
        return None if self.http_listen == "none" else (host.strip("[]"), int(port))

    @property
    def topic_max_bytes(self) -> int:
        """`max.message.bytes` of our topics: room for a source record and our headers."""
        return max(self.source_max_bytes, self.max_alert_bytes) + 65_536

    def shown(self) -> Iterator[tuple[str, str]]:
        """Name and value of every setting, for people."""
        for name in type(self).model_fields:
            value: Any = getattr(self, name)
            yield name, ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def load_settings(**flags: Any) -> Settings:  # noqa: ANN401 — flags have the types of the fields
    """Read the settings; a flag that is None was not given.

    Raises:
        SettingsError: A value is impossible, a name unknown or the file unreadable; says which and where.
    """
    file = os.environ.get(CONFIG_VARIABLE)
    if file and not Path(file).is_file():
        raise SettingsError(f"{CONFIG_VARIABLE} names {file}, which is no file: correct the path or unset it")
    given = {name: value for name, value in flags.items() if value is not None and value != ()}
    _refuse_unknown_variables()
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        message = str(first["msg"]).removeprefix("Value error, ")
        if not first["loc"]:  # about several settings, which the message names
            raise SettingsError(f"settings {message}") from None
        name = str(first["loc"][0])
        raise SettingsError(f"setting {name} ({ENV_PREFIX}{name.upper()}): {message}") from None
    except (ValueError, OSError) as error:
        raise SettingsError(f"the settings can't be read ({file or 'environment'}): {error}") from None


def _refuse_unknown_variables() -> None:
    """A misspelt variable would be ignored in silence; say so instead."""
    known = {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields}
    known |= {CONFIG_VARIABLE, *OTHER_VARIABLES}
    for name in sorted(os.environ):
        if name.startswith(ENV_PREFIX) and name not in known:
            raise SettingsError(f"{name} is no setting: see `eximwatch settings` for those there are")


OTHER_VARIABLES: Final = frozenset({"EXIMWATCH_TEST_BROKERS", "EXIMWATCH_KAFKA_LIBS", "EXIMWATCH_FAIL_AT"})
"""Variables of ours that are no settings of a worker: those of the tests."""
