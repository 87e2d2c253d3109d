"""Rules from files, and the engine they make."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from app.core.alert import Maker
from app.core.clock import parse_iso_time
from app.core.duration import parse_duration
from app.core.engine import Engine, Standards
from app.core.rule import Rule, check_rules, longest_window, parse_rule
from app.core.source_format import SourceFormat
from app.errors import RuleError
from app.runtime.settings import Settings
from app.runtime.topics import changelog_retention


def load_rules(paths: Sequence[Path]) -> list[Rule]:
    """Read rule files, and the `*.toml` of directories in the order of their names.

    Raises:
        RuleError: A file can't be read or used, or there is none.
    """
    files: list[Path] = []
    for path in paths:
        files += sorted(path.glob("*.toml")) if path.is_dir() else [path]
    if not files:
        raise RuleError(str(paths[0]), 1, "no rule file there: name a file or a directory of *.toml")
    rules: list[Rule] = []
    for file in files:
        try:
            content = file.read_bytes()
        except OSError as error:
            raise RuleError(str(file), 1, f"can't be read: {error.strerror}") from None
        rules.append(parse_rule(content, str(file)))
    check_rules(rules)
    return rules


def engine_of(settings: Settings, rules: Sequence[Rule], learn_until: int | None) -> Engine:
    """The engine that settings ask for; `alert_from` "start" means `learn_until`, nanoseconds since 1970."""
    return build_engine(
        rules,
        max_alert_bytes=settings.max_alert_bytes,
        max_future_skew=settings.max_future_skew,
        alert_from=settings.alert_from,
        learn_until=learn_until,
        source_format=settings.source_format,
    )


def build_engine(
    rules: Sequence[Rule],
    *,
    max_alert_bytes: int,
    max_future_skew: str,
    alert_from: str | None,
    learn_until: int | None,
    source_format: SourceFormat = "ecs",
) -> Engine:
    """The engine for rules and standards; `alert_from` "start" means `learn_until`, nanoseconds since 1970."""
    if alert_from != "start":
        learn_until = parse_iso_time(alert_from) if alert_from else None
    standards = Standards(
        maker=Maker(version("eximwatch"), max_alert_bytes),
        retention=changelog_retention(longest_window(rules)),
        max_future_skew=parse_duration(max_future_skew),
        alert_from=learn_until,
    )
    return Engine(rules, standards, source_format)
