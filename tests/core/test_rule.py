"""Rule files: what is read, and where and why one is refused."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.duration import SECOND
from app.core.event import decode
from app.core.rule import MAX_FILE_BYTES, Rule, check_rules, longest_window, parse_rule
from app.errors import RuleError
from tests.core.rules import RULE_FILE, rule
from tests.events import event, raw

PACKAGED = Path(__file__).parents[2] / "app" / "rules"
DAY = 86_400 * SECOND
EXCLUDED = [
    *("exim4", "start-stop-daemon", "run-parts", "systemctl", "update-exim4.conf", "install", "plymouth", "readlink"),
    *("grep", "stat", "cmake", "gcc", "cppcheck", "sort", "sshd"),
]


def line_of(text: str, start: str) -> int:
    """The number of the first line that begins with a text."""
    return next(number for number, line in enumerate(text.splitlines(), 1) if line.startswith(start))


def refusal(content: str | bytes) -> RuleError:
    """Read a file that can't be used."""
    with pytest.raises(RuleError) as caught:
        parse_rule(content.encode() if isinstance(content, str) else content, "my.toml")
    assert str(caught.value) == f"my.toml:{caught.value.line}: {caught.value.reason}"
    assert "\n" not in str(caught.value)
    assert 2 == caught.value.exit_code
    return caught.value


def test_rule_is_read() -> None:
    """A file becomes a rule: its facts, its parsed query, its window, its digest."""
    found = parse_rule(RULE_FILE.encode(), "child.toml")

    assert ("child", ("host.id", "process.name"), "host") == (found.id, found.fields, found.scope)
    assert 14 * DAY == found.history_window
    assert hashlib.sha256(RULE_FILE.encode()).hexdigest() == found.digest
    assert "child.toml" == found.file
    assert "T1037.004" == found.spec.threat[0].technique[0].subtechnique[0].id
    assert found.matches(decode(raw(event())))
    assert not found.matches(decode(raw(event(name="grep"))))
    assert not found.matches(decode(raw(event(parent="cron"))))


def test_rule_without_the_optional_parts_is_read() -> None:
    """References, tags, advice and ATT&CK need not be given."""
    text = """
id = "r"
name = "r"
version = 1
severity = "critical"
risk_score = 0
description = "d"
query = "process.parent.name:exim4"
new_terms = { fields = ["process.executable"], history_window = "1h" }
"""
    found = parse_rule(text.encode(), "r.toml")

    assert ((), (), ()) == (found.spec.threat, found.spec.tags, found.spec.triage)
    assert "fleet" == found.scope


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_line_ends_of_both_kinds_are_read(line_end: str) -> None:
    """A file edited on Windows is the same rule with another digest."""
    assert "child" == parse_rule(RULE_FILE.replace("\n", line_end).encode(), "x.toml").id


@pytest.mark.parametrize("path", sorted(PACKAGED.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_rules_are_sound(path: Path) -> None:
    """Every rule that is shipped can be read, has the file's name as its id, and says what to do."""
    found = parse_rule(path.read_bytes(), path.name)

    assert path.stem == found.id
    assert found.spec.triage
    assert found.spec.response
    assert found.spec.false_positives
    assert found.spec.threat


def test_child_rule_has_the_facts_of_the_original() -> None:
    """Severity, score, tactic, tags and techniques are Elastic's; the key and the window are ours."""
    found = parse_rule((PACKAGED / "exim4_child.toml").read_bytes(), "exim4_child.toml")
    [threat] = found.spec.threat

    assert ("low", 21) == (found.spec.severity, found.spec.risk_score)
    assert "TA0003" == threat.tactic.id
    assert ["T1037", "T1554"] == [technique.id for technique in threat.technique]
    assert (("host.id", "process.name"), 14 * DAY) == (found.fields, found.history_window)
    assert {
        "Domain: Endpoint",
        "OS: Linux",
        "Use Case: Threat Detection",
        "Tactic: Persistence",
        "Data Source: Elastic Defend",
        "Resources: Investigation Guide",
    } == set(found.spec.tags)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({}, True),
        ({"event.type": "start", "event.action": "exec"}, True),
        ({"event.action": ["fork", "end"]}, False),
        ({"event.type": ["end"]}, False),
        ({"host.os.type": "windows"}, False),
        ({"process.parent.name": "exim"}, False),
        ({"process.parent.name": "EXIM4"}, False),
        ({"process.name": None}, True),
        ({"process.name": "shell"}, True),
        *(({"process.name": name}, False) for name in EXCLUDED),
    ],
)
def test_child_rule_matches_what_the_original_matches(
    overrides: dict[str, object],
    expected: bool,
) -> None:
    """Linux, start, exec, a child of exim4, and none of the fifteen names."""
    found = parse_rule((PACKAGED / "exim4_child.toml").read_bytes(), "exim4_child.toml")

    assert expected is found.matches(decode(raw(event(**overrides))))


@pytest.mark.parametrize(
    ("change", "line", "reason"),
    [
        (lambda text: text.replace('id = "child"\n', ""), "", "missing required field `id`"),
        (lambda text: text.replace('"low"', '"lowest"'), "severity", "Invalid enum value 'lowest'"),
        (lambda text: text.replace("risk_score = 21", "risk_score = 101"), "risk_score", "<= 100"),
        (lambda text: text.replace("version = 3", 'version = "3"'), "version", "Expected `int`, got `str`"),
        (lambda text: text.replace("version = 3", "version = 0"), "version", ">= 1"),
        (lambda text: text.replace('id = "child"', 'id = "a b"'), "id", "regex"),
        (lambda text: text.replace('name = "A child of exim4"', 'name = ""'), "name", "length >= 1"),
        (lambda text: text.replace("version = 3", "version = 2147483648"), "version", "<= 2147483647"),
        (lambda text: text.replace('id = "child"', 'id = "child\\n"'), "id", "regex"),
        (lambda text: text.replace('"process.name"]', '"process.name\\n"]'), "fields", "regex"),
        (lambda text: text.replace('"14d"', '"١٤d"'), "history_window", "is no duration"),
        (lambda text: text.replace("tags =", "tag ="), "tag", "unknown field `tag`"),
        (lambda text: text.replace("history_window", "window"), "window", "unknown field `window`"),
        (
            lambda text: text.replace('history_window = "14d"\n', ""),
            "[new_terms]",
            "missing required field `history_window`",
        ),
        (lambda text: text.replace('["host.id", "process.name"]', "[]"), "fields", "length >= 1"),
        (
            lambda text: text.replace('["host.id", "process.name"]', '["a", "b", "c", "d"]'),
            "fields",
            "length <= 3",
        ),
        (lambda text: text.replace('"process.name"]', '"a..b"]'), "fields", "regex"),
        (lambda text: text.replace('"process.name"]', '"host.id"]'), "fields", "names a field twice"),
        (lambda text: text.replace('"14d"', '"2 weeks"'), "history_window", "'2 weeks' is no duration"),
        (lambda text: text.replace('"14d"', '"0d"'), "history_window", ""),
        (lambda text: text.replace('"MITRE ATT&CK"', '"Kill Chain"'), "framework", "Kill Chain"),
        (lambda text: text.replace('reference = "T1554 page"\n', "x = 1\n"), "x", "unknown field `x`"),
        (lambda text: text.replace("name:grep", "name:(grep"), "query", "query, column"),
        (lambda text: text.replace("not process.name:grep", "process.pid > 5"), "query", "query, column"),
        (lambda text: text.replace('"child"', "child"), "id", "not TOML"),
        (lambda text: text.replace('name = "A child', 'name = "A\\qchild'), "name", "not TOML"),
        (lambda text: text + 'id = "again"\nx', "", "not TOML"),
        (lambda text: text.replace("version = 3", "version = 3\nversion = 4"), "version = 4", "not TOML"),
    ],
)
def test_bad_file_names_line_and_reason(change: Callable[[str], str], line: str, reason: str) -> None:
    """A file that can't be used stops the start with file, line and reason, in one line."""
    text = change(RULE_FILE)
    assert text != RULE_FILE
    found = refusal(text)

    assert reason in found.reason
    if line:
        assert line_of(text, line) == found.line


def test_line_of_a_query_counts_from_its_string() -> None:
    """The error of a query over many lines names the line in the file."""
    long = RULE_FILE.replace(
        '"process.parent.name:exim4 and not process.name:grep"',
        '"""\nprocess.parent.name:exim4\n  and not\n  process.name ? grep\n"""',
    )
    inline = long.replace('"""\nprocess', '"""process')

    assert line_of(long, "  process.name ?") == refusal(long).line
    assert line_of(inline, "  process.name ?") == refusal(inline).line


def test_keys_in_strings_and_other_sections_do_not_mislead() -> None:
    """The line that is named is the one that sets the key, not one that only looks like it."""
    lookalikes = """version = 1\nseverity = "none"\n[new_terms]\nfields = []\n"""
    text = RULE_FILE.replace('severity = "low"\n', "")
    text = text.replace('"exim4 started a program."', f"'''\n{lookalikes}'''\nseverity = \"lowest\"")

    assert line_of(text, 'severity = "lowest"') == refusal(text).line


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b"id = 'r'\nname = '\xff'\n", 2, "not UTF-8"),
        (b"\xff", 1, "not UTF-8"),
        (b"", 1, "missing required field"),
        (b"#" * (MAX_FILE_BYTES + 1), 1, f"larger than {MAX_FILE_BYTES} bytes"),
        (b"new_terms = 5\n", 1, ""),
        (b"id = 'r'\nquery = '''\nunclosed\n", 4, "not TOML"),
    ],
)
def test_content_that_is_no_rule_is_refused(content: bytes, line: int, reason: str) -> None:
    """Other encodings, empty, huge and unfinished files."""
    found = refusal(content)

    assert line == found.line
    assert reason in found.reason


def test_file_of_the_greatest_size_is_read() -> None:
    """The limit itself is allowed."""
    content = RULE_FILE.encode() + b"#" * (MAX_FILE_BYTES - len(RULE_FILE.encode()))

    assert "child" == parse_rule(content, "x.toml").id


def test_two_rules_of_one_id_are_refused() -> None:
    """Their histories would mix: the second file is named, and the first as well."""
    check_rules([rule("a"), rule("b"), rule("c")])
    second = parse_rule(RULE_FILE.encode(), "second.toml")

    with pytest.raises(RuleError, match=re.escape("second.toml:1: the rule id 'child' is taken by child.toml")):
        check_rules([rule("a"), rule("child"), second])


@pytest.mark.parametrize(
    ("rules", "expected"),
    [([], 0), ([rule(window="1h")], 3600 * SECOND), ([rule(window="1h"), rule(window="2d"), rule()], 14 * DAY)],
)
def test_longest_window_decides_the_retention(rules: list[Rule], expected: int) -> None:
    """The longest of all rules, nothing without rules."""
    assert expected == longest_window(rules)


def test_line_of_an_array_element_is_named() -> None:
    """Of several tables of one name the faulty one's line is given, not the last one's."""
    head, _, tail = RULE_FILE.partition("[[threat.technique]]")
    broken = f'{head}[[threat.technique]]\nid = "T1"\nname = "n"\n\n[[threat.technique]]{tail}'

    error = refusal(broken)

    assert line_of(broken, "[[threat.technique]]") == error.line
    assert "reference" in error.reason
