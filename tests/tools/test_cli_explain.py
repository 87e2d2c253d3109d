"""`eximwatch explain` through the command line, without a broker: what it reads, prints and ends with."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.events import ABSENT, event, raw
from tests.tools.test_cli_replay import NOW, ROOT, Run, _own_directory, lines, one_line, run, write

__all__ = ["_own_directory", "run"]  # fixtures

RECORDING = str(ROOT / "tests" / "recordings" / "events.ndjson")


def explained(run: Run, *arguments: str, code: int = 0, stdin: bytes = b"") -> dict[str, Any]:
    """Run with `--json`, and give the document."""
    result = run("explain", *arguments, "--json", stdin=stdin)
    assert (code, "") == (result.code, result.err)
    (document,) = result.documents
    return document


def terms(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Rule and verdict of every term."""
    return [(rule["rule"], term["verdict"]) for rule in document["rules"] for term in rule["terms"]]


def failing(document: dict[str, Any], rule: str) -> list[str]:
    """The clauses of a rule that fail."""
    (found,) = [one for one in document["rules"] if one["rule"] == rule]
    return [clause["clause"] for clause in found["clauses"] if not clause["result"]]


def test_an_event_of_a_file_is_explained_rule_by_rule(run: Run) -> None:
    """The recorded download: the child rule fails at the parent, the descendant rule alerts."""
    document = explained(run, f"{RECORDING}:321", *NOW)

    assert [("exim4_descendant", "new")] == terms(document)
    assert ["process.parent.name:exim4"] == failing(document, "exim4_child")
    assert {"file": RECORDING, "line": 321} == document["source"]
    assert "no history: no term is known (--history FILE gives one)" == document["compared_with"]
    assert "descendant" == document["lineage"]["relation"]
    assert ["downloader", "root"] == [reason["code"] for reason in document["assessment"]["reasons"]]


def test_a_history_is_judged_before(run: Run) -> None:
    """Of the file itself only the lines before count: so an alert of a replay is explained as new."""
    alerts = run("replay", RECORDING, *NOW).documents
    for alert in alerts[-3:]:
        line = alert["detector"]["source"]["line"]
        document = explained(run, f"{RECORDING}:{line}", "--history", RECORDING, *NOW)
        found = {term["alert_id"]: term for rule in document["rules"] for term in rule["terms"]}
        term = found[alert["kibana.alert.uuid"]]
        assert ("new", alert["kibana.alert.reason"]) == (term["verdict"], term["reason"])
        assert alert["detector"]["baseline"]["rule"] == term["baseline"]
        assert alert["detector"]["lineage"] == document["lineage"]
        assert [f"of {RECORDING} the lines before {line} are the history"] == document["notes"]


def test_a_known_term_says_when_it_was_seen(run: Run) -> None:
    """The state that a term was compared with, and the window."""
    history = write("old.ndjson", lines(event("sh", time="2026-01-05T08:00:00Z")))
    write("new.ndjson", lines(event("sh", time="2026-01-06T09:00:00Z")))
    document = explained(run, "new.ndjson", "--history", history, *NOW)

    (term,) = [term for rule in document["rules"] for term in rule["terms"]]
    assert "the term was last seen 1 d 1 h before, within the window of 14d" == term["why"]
    assert {
        "first_seen": "2026-01-05T08:00:00.000Z",
        "last_seen": "2026-01-05T08:00:00.000Z",
        "count": 1,
        "executable": "/usr/bin/sh",
        "ago": "1 d 1 h",
    } == term["state"]
    assert "1 matches in old.ndjson" == document["compared_with"]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (raw(event()), "one.json"),
        (b"\n" + raw(event()) + b"\n\n", "one.ndjson"),
        (json.dumps(event(), indent=2).encode(), "pretty.json"),
        (gzip.compress(raw(event()) + b"\n"), "one.ndjson.gz"),
        (raw(event()), "with:12"),
    ],
)
def test_a_file_of_one_record_needs_no_line(content: bytes, name: str, run: Run) -> None:
    """A line, an object over several lines, compressed or not, under any name."""
    write(name, content)

    assert [("exim4_child", "new")] == terms(explained(run, name, *NOW))


def test_standard_input_is_read(run: Run) -> None:
    """`-` is one record, in a line or over several."""
    for content in (lines(event()), json.dumps(event(), indent=2).encode()):
        document = explained(run, "-", *NOW, stdin=content)
        assert ([("exim4_child", "new")], "-") == (terms(document), document["source"]["file"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"sh", ("candidate", False)),
        (b'{"process":{"name":"exim4"', ("dead_letters", "not_json")),
        (raw(event(host=ABSENT)), ("dead_letters", "missing_term_field")),
    ],
)
def test_what_can_not_be_judged_says_why(content: bytes, said: tuple[str, object], run: Run) -> None:
    """No candidate, a dead letter of the whole, or of a rule: explained, not an error."""
    write("event.json", content)
    document = explained(run, "event.json", *NOW)
    name, value = said

    found = document[name] if name == "candidate" else document[name][0]["reason"]
    assert value == found
    assert [] == [term for rule in document.get("rules", ()) for term in rule["terms"]]
    assert 0 == run("explain", "event.json", *NOW).code


def test_alert_from_makes_a_term_build_history(run: Run) -> None:
    """The same settings as of a worker hold."""
    write("event.json", raw(event()))
    document = explained(run, "event.json", *NOW, "--alert-from", "2026-01-10T00:00:00Z")

    assert [("exim4_child", "learning")] == terms(document)


def test_a_wrapped_event_is_explained_when_told_so(run: Run) -> None:
    """And what to set is noted where it was not."""
    write("event.json", raw({"message": raw(event()).decode()}))

    told = explained(run, "event.json", *NOW, "--source-format", "message")
    assert [("exim4_child", "new")] == terms(told)
    assert [] == told["notes"]
    assert "EXIMWATCH_SOURCE_FORMAT=message" in explained(run, "event.json", *NOW)["notes"][-1]


def test_every_alert_of_a_replay_is_derived_again(run: Run) -> None:
    """From an alert alone: all checks pass, with the state and lineage that it carries."""
    run("replay", RECORDING, *NOW, "--alerts", "alerts.ndjson")
    alerts = [json.loads(line) for line in Path("alerts.ndjson").read_text().splitlines()]
    assert len(alerts) > 10
    for number, alert in enumerate(alerts, 1):
        document = explained(run, "--alert", f"alerts.ndjson:{number}")
        assert [True] * 7 == [check["result"] for check in document["checks"]]
        assert [(alert["kibana.alert.rule.rule_id"], "new")] == terms(document)
        assert alert["detector"]["lineage"] == document["lineage"]


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        (
            {"process": {"name": "grep", "parent": {"name": "exim4"}}},
            ["query", "term", "clauses", "alert id", "assessment"],
        ),
        ({"kibana.alert.new_terms": ["mail01", "perl"]}, ["new terms"]),
        ({"kibana.alert.uuid": "0" * 64}, ["alert id"]),
    ],
)
def test_an_alert_that_was_changed_is_found_out(change: dict[str, Any], failed: list[str], run: Run) -> None:
    """What does not follow from the rest fails its check, and the exit code says so."""
    write("event.json", raw(event()))
    (alert,) = run("replay", "event.json", *NOW).documents
    write("alert.json", raw(alert | change))
    document = explained(run, "--alert", "alert.json", code=1)

    assert failed == [check["check"] for check in document["checks"] if not check["result"]]
    assert 1 == run("explain", "--alert", "alert.json").code


@pytest.mark.parametrize("values", [{"process.name": ["perl"]}, {"process.name": 5}, {}])
def test_a_clause_that_was_changed_is_found_out(values: dict[str, Any], run: Run) -> None:
    """Also where what stands there could not come from us."""
    write("event.json", raw(event()))
    (alert,) = run("replay", "event.json", *NOW).documents
    alert["detector"]["clauses"][-1]["values"] = values
    write("alert.json", raw(alert))
    document = explained(run, "--alert", "alert.json", code=1)

    assert ["clauses"] == [check["check"] for check in document["checks"] if not check["result"]]


def test_an_alert_whose_state_is_within_the_window_is_not_new(run: Run) -> None:
    """The verdict is derived from the state that the alert carries."""
    write("event.json", raw(event()))
    (alert,) = run("replay", "event.json", *NOW).documents
    seen = {"first_seen": "2026-01-05T07:00:00.000Z", "last_seen": "2026-01-05T07:00:00.000Z", "count": 1}
    alert["detector"]["baseline"]["term"] = seen
    write("alert.json", raw(alert))
    document = explained(run, "--alert", "alert.json", code=1)

    assert [("exim4_child", "known")] == terms(document)
    assert ["verdict"] == [check["check"] for check in document["checks"] if not check["result"]]


def test_another_rule_file_is_said(run: Run) -> None:
    """An alert is judged by the query that it carries, whatever is loaded here."""
    write("event.json", raw(event()))
    (alert,) = run("replay", "event.json", *NOW).documents
    alert["detector"]["rule_sha256"] = "0" * 64
    write("alert.json", raw(alert))
    (note,) = explained(run, "--alert", "alert.json")["notes"]

    assert note.startswith("the rule file is another one now")


def test_the_tree_is_for_people(run: Run) -> None:
    """Without `--json`: clauses with what they saw, verdict and assessment; lines stay whole on a pipe."""
    write("event.json", raw(event("sh\x1b]0;x\x07")))
    out = run("explain", "event.json", *NOW).out

    assert "PASS process.parent.name:exim4  exim4\n" in out
    assert "FAIL any of\n" in out
    assert "FAIL process.group_leader.name:exim4  no value\n" in out
    assert "NEW  the term was not known\n" in out
    assert "alerts by exim4_child: the term was not known\n" in out
    assert "no alert by exim4_descendant: nothing holds of process.group_leader.name:exim4 (seen: no value), " in out
    assert "assessment low, 0\n" in out
    assert "\\u001b]0;x\\u0007" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("line", "outcomes"),
    [
        (
            342,
            [
                "no alert by exim4_child: not process.name:(exim4 or update-exim4.conf or start-stop-d… "
                "fails, seen: install",
                "no alert by exim4_descendant: excluded by process.parent.name:exim4 (seen: exim4), "
                "process.parent.executable:(/etc/init.d/exim4 or /usr/sbin/ex… (seen: /usr/sbin/exim4)",
                "no alert by exim4_unusual_path: excluded by process.executable:(/usr/bin/* or /usr/sbin/* or "
                "/bin/* or /… (seen: /usr/bin/install)",
            ],
        ),
        (
            337,
            [
                "no alert by exim4_child: the term was last seen 3 s before, within the window of 14d",
                "no alert by exim4_descendant: excluded by process.parent.name:exim4 (seen: exim4), "
                "process.parent.executable:(/etc/init.d/exim4 or /usr/sbin/ex… (seen: /usr/sbin/exim4)",
                "no alert by exim4_unusual_path: excluded by process.executable:(/usr/bin/* or /usr/sbin/* or "
                "/bin/* or /… (seen: /bin/sh)",
            ],
        ),
    ],
)
def test_the_first_lines_say_why_there_is_no_alert(line: int, outcomes: list[str], run: Run) -> None:
    """An excluded name, a known term: one line for each rule, before all else."""
    out = run("explain", f"{RECORDING}:{line}", "--history", RECORDING, *NOW).out.splitlines()

    assert outcomes == [said.removeprefix("├── ") for said in out[1:4]]


def test_a_failed_check_does_not_read_as_if_it_held(run: Run) -> None:
    """Beside FAIL stands what is not so."""
    write("event.json", raw(event()))
    (alert,) = run("replay", "event.json", *NOW).documents
    write("alert.json", raw(alert | {"kibana.alert.uuid": "0" * 64}))

    assert "FAIL alert id not so: the id is that of rule" in run("explain", "--alert", "alert.json").out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.json"], 3, "missing.json can't be read: No such file or directory"),
        (["empty.json"], 3, "empty.json holds no record"),
        (["two.ndjson"], 3, "two.ndjson holds 2 records: say which, as in two.ndjson:1"),
        (["two.ndjson:3"], 3, "two.ndjson has no line 3"),
        (["two.ndjson:0"], 3, "'0' is no line of two.ndjson: name one by its number, from 1"),
        (["missing.json:x"], 3, "missing.json:x can't be read: No such file or directory"),
        (["--alert", "two.ndjson:1"], 3, "two.ndjson:1 holds no alert with its evidence"),
        (["--alert", "bad.json"], 3, "bad.json:1 holds no alert with its evidence"),
        (["--at", "somewhere"], 3, "'somewhere' is no position: write TOPIC:PARTITION:OFFSET"),
        (["two.ndjson:1", "--now", "x"], 2, "--now 'x' is no ISO 8601 time"),
        (["two.ndjson:1", "--rule", "none.toml"], 2, "none.toml:1: can't be read"),
        ([], 2, "say what to explain"),
        (["two.ndjson:1", "--at", "a:1:1"], 2, "say what to explain"),
        (["--at", "a:1:1", "--worker-state"], 2, "--worker-state goes with FILE[:LINE]"),
    ],
)
def test_an_error_is_one_line_with_its_exit_code(arguments: list[str], code: int, message: str, run: Run) -> None:
    """What is wrong, where, and what to do."""
    write("empty.json", b"\n")
    write("two.ndjson", lines(event(), event("id")))
    write("bad.json", b'{"kibana.alert.uuid": 1, "detector"')
    result = run("explain", *arguments)

    assert code == result.code
    assert message in one_line(result)
