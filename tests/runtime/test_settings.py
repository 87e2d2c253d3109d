"""Settings: where they come from, which source wins, and what is refused in one line."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.core.alert import MIN_ALERT_BYTES
from app.errors import SettingsError
from app.runtime.settings import CONFIG_VARIABLE, PACKAGED_RULES, Settings, load_settings

WriteConfig = Callable[[str], Path]

_PASSWORD = "correct horse"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without any variable of ours."""
    for name in list(os.environ):
        if name.startswith("EXIMWATCH_"):
            monkeypatch.delenv(name)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WriteConfig:
    """Write a TOML file and name it in the environment."""

    def write(text: str) -> Path:
        file = tmp_path / "eximwatch.toml"
        file.write_text(text, encoding="utf-8")
        monkeypatch.setenv(CONFIG_VARIABLE, str(file))
        return file

    return write


def refusal(**flags: Any) -> str:
    """Load settings that can't be, and give the message."""
    with pytest.raises(SettingsError) as caught:
        load_settings(**flags)
    assert "\n" not in str(caught.value)
    assert 2 == caught.value.exit_code
    return str(caught.value)


def test_defaults_need_nothing() -> None:
    """A worker starts with what is shipped."""
    settings = load_settings()

    assert ("127.0.0.1:9092",) == settings.brokers
    assert (PACKAGED_RULES,) == settings.rules
    assert "5m" == settings.max_future_skew
    assert 12 == settings.partitions
    assert settings.alert_from is None
    assert sorted(PACKAGED_RULES.glob("*.toml"))


def test_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables are the names in upper case; lists are separated by commas."""
    monkeypatch.setenv("EXIMWATCH_BROKERS", "k1:9092, k2:9092,")
    monkeypatch.setenv("EXIMWATCH_PARTITIONS", "4")
    monkeypatch.setenv("EXIMWATCH_RULES", "a.toml,b")
    monkeypatch.setenv("EXIMWATCH_CHECK_TOPICS", "false")
    settings = load_settings()

    assert ("k1:9092", "k2:9092") == settings.brokers
    assert 4 == settings.partitions
    assert (Path("a.toml"), Path("b")) == settings.rules
    assert not settings.check_topics


def test_file_is_read(config: WriteConfig) -> None:
    """Keys are the names; lists may be arrays or one text."""
    config('brokers = ["k1:9092", "k2:9092"]\nsource_topics = "a,b"\npartitions = 7\nalert_from = "start"\n')
    settings = load_settings()

    assert ("k1:9092", "k2:9092") == settings.brokers
    assert ("a", "b") == settings.source_topics
    assert 7 == settings.partitions
    assert "start" == settings.alert_from


def test_flags_win_over_environment_over_file_over_default(
    config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each source decides only what none before it gives."""
    config("partitions = 1\nreplication_factor = 1\nfetch_max_wait = 1\n")
    monkeypatch.setenv("EXIMWATCH_PARTITIONS", "2")
    monkeypatch.setenv("EXIMWATCH_REPLICATION_FACTOR", "2")
    settings = load_settings(partitions="3", topic_prefix=None, rules=())

    assert (3, 2, 1) == (settings.partitions, settings.replication_factor, settings.fetch_max_wait)
    assert "eximwatch" == settings.topic_prefix
    assert (PACKAGED_RULES,) == settings.rules


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"brokers": ","}, "setting brokers (EXIMWATCH_BROKERS): "),
        ({"partitions": "0"}, "setting partitions (EXIMWATCH_PARTITIONS): "),
        ({"partitions": "many"}, "setting partitions (EXIMWATCH_PARTITIONS): "),
        ({"topic_prefix": "a b"}, "setting topic_prefix (EXIMWATCH_TOPIC_PREFIX): "),
        ({"start_from": "yesterday"}, "must be earliest, latest or an ISO 8601 time"),
        ({"alert_from": "now"}, 'must be "start" or an ISO 8601 time'),
        ({"alert_from": ""}, 'must be "start" or an ISO 8601 time'),
        ({"max_future_skew": "soon"}, "'soon' is no duration: write it like 14d"),
        ({"commit_interval": "0s"}, "must be longer than nothing"),
        ({"max_alert_bytes": MIN_ALERT_BYTES - 1}, "setting max_alert_bytes (EXIMWATCH_MAX_ALERT_BYTES): "),
        ({"log_level": "loud"}, "setting log_level (EXIMWATCH_LOG_LEVEL): "),
        ({"log_lvl": "info"}, "setting log_lvl"),
        ({"sasl_mechanism": "GSSAPI"}, "setting sasl_mechanism (EXIMWATCH_SASL_MECHANISM): "),
        ({"sasl_username": ""}, "setting sasl_username (EXIMWATCH_SASL_USERNAME): "),
        ({"sasl_password": ""}, "setting sasl_password (EXIMWATCH_SASL_PASSWORD): "),
    ],
)
def test_impossible_value_is_refused(flags: dict[str, Any], message: str) -> None:
    """One line that names the setting as it is spelled, and what is wrong."""
    assert message in refusal(**flags)


@pytest.mark.parametrize(
    "flags",
    [
        {"start_from": "latest"},
        {"start_from": "2026-01-05T00:00:00Z"},
        {"alert_from": "2026-01-05T00:00:00+01:00"},
        {"max_alert_bytes": MIN_ALERT_BYTES},
        {"max_future_skew": "1h30m"},
        {"topic_prefix": "team-a.eximwatch_2"},
    ],
)
def test_possible_value_is_taken(flags: dict[str, Any]) -> None:
    """Values at the edge of what is allowed."""
    [(name, value)] = flags.items()

    assert value == getattr(load_settings(**flags), name)


@pytest.mark.parametrize(
    ("name", "value"), [("tls_ca", "some.pem"), ("sasl_username", "mail"), ("tls_key", "some.pem")]
)
def test_settings_that_do_not_go_together_are_read(name: str, value: str) -> None:
    """A command that talks to nobody does not mind a link that can't work; whoever uses it refuses."""
    assert value == str(getattr(load_settings(**{name: value}), name))


def test_deadline_of_a_send_comes_before_that_of_the_watchdog() -> None:
    """The message names both."""
    assert "settings effect_timeout (2m) must be shorter than watchdog_timeout (1m)" in refusal(
        effect_timeout="2m", watchdog_timeout="1m"
    )


@pytest.mark.parametrize("source", ["environment", "file"])
def test_password_is_never_shown(source: str, config: WriteConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by its own setting nor by the whole."""
    if source == "file":
        config(f'sasl_password = "{_PASSWORD}"\n')
    else:
        monkeypatch.setenv("EXIMWATCH_SASL_PASSWORD", _PASSWORD)
    settings = load_settings()

    assert "**********" == dict(settings.shown())["sasl_password"]
    assert settings.sasl_password is not None
    assert _PASSWORD == settings.sasl_password.get_secret_value()
    assert _PASSWORD not in f"{settings!r} {settings}"


@pytest.mark.parametrize(
    "text",
    [
        f'sasl_password = ["{_PASSWORD}"]\n',
        f'sasl_password = "{_PASSWORD}"\npartitions = 0\n',
        f'sasl_pasword = "{_PASSWORD}"\n',
        f'sasl_password = "{_PASSWORD}\n',
    ],
)
def test_password_is_not_part_of_a_refusal(text: str, config: WriteConfig) -> None:
    """Whatever is wrong with it, or beside it."""
    config(text)

    assert _PASSWORD not in refusal()


def test_impossible_value_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the variable."""
    monkeypatch.setenv("EXIMWATCH_SESSION_TIMEOUT", "30")

    assert "EXIMWATCH_SESSION_TIMEOUT" in refusal()


@pytest.mark.parametrize("name", ["EXIMWATCH_BROKER", "EXIMWATCH_", "EXIMWATCH_ALERT_FORM"])
def test_unknown_variable_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt variable would be ignored in silence; it is named instead."""
    monkeypatch.setenv(name, "x")

    assert f"{name} is no setting: see `eximwatch settings` for those there are" == refusal()


def test_variables_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only names that begin like ours are looked at; those of the tests are known."""
    monkeypatch.setenv("EXIM_PATH", "x")
    monkeypatch.setenv("BROKERS", "x")
    monkeypatch.setenv("EXIMWATCH_TEST_BROKERS", "x")

    assert ("127.0.0.1:9092",) == load_settings().brokers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("partitions = \n", "the settings can't be read"),
        ("[partitions]\n", "setting partitions"),
        ("partition = 3\n", "setting partition "),
        ("partitions = 0\n", "setting partitions"),
        ('brokers = [""]\nlog_level = 5\n', "setting "),
    ],
)
def test_bad_file_is_refused(text: str, message: str, config: WriteConfig) -> None:
    """Broken TOML, unknown keys and impossible values, each in one line."""
    config(text)

    assert message in refusal()


def test_file_that_is_not_text_is_refused(config: WriteConfig) -> None:
    """The message names the file."""
    file = config("")
    file.write_bytes(b'topic_prefix = "\xff"')

    assert str(file) in refusal()


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_file_that_is_not_there_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong path, or a directory, is not taken for no file."""
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / name))

    assert re.search(r"EXIMWATCH_CONFIG names .*, which is no file: correct the path or unset it", refusal())


def test_names_of_topics_follow_the_prefix() -> None:
    """One installation, one prefix: nothing of ours stands outside it."""
    settings = load_settings(topic_prefix="blue")

    assert [
        "blue.matches",
        "blue.alerts",
        "blue.dead-letters",
        "blue-new_terms-changelog",
        "blue-lineage-changelog",
    ] == [
        settings.matches_topic,
        settings.alerts_topic,
        settings.dead_letters_topic,
        settings.changelog_topic,
        settings.lineage_changelog_topic,
    ]


def test_topics_of_ours_have_room_for_headers() -> None:
    """64 KiB more than the larger of source record and alert."""
    assert 1_048_588 + 65_536 == load_settings().topic_max_bytes
    assert 2_000_000 + 65_536 == load_settings(max_alert_bytes=2_000_000).topic_max_bytes


def test_every_setting_is_shown_and_described() -> None:
    """Each has a sentence, and its value as text."""
    shown = dict(load_settings(brokers="a:1,b:2").shown())

    assert list(Settings.model_fields) == list(shown)
    assert "a:1, b:2" == shown["brokers"]
    assert all(field.description for field in Settings.model_fields.values())
