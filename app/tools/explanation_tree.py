"""An explanation for people: the JSON document as a tree of lines. Every text passes through `app.tools.screen`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from rich.text import Text
from rich.tree import Tree

from app.core.event import JsonObject
from app.tools.screen import plain

_PASS: Final = {True: ("PASS", "green"), False: ("FAIL", "bold red")}
_VERDICT_STYLE: Final = {"new": "bold red", "learning": "yellow", "known": "green", "replayed": "cyan"}
_LEVEL_STYLE: Final = {"low": "green", "medium": "yellow", "high": "red", "critical": "bold red"}
_NEEDS: Final = {"all": "all of", "any": "any of", "none": "not"}
_ARGS: Final = 8
_CLAUSE_LENGTH: Final = 60
_GROUNDS: Final = 3


def tree_of(document: JsonObject) -> Tree:
    """The tree; what a document does not have is left out."""
    tree = Tree(_line(("event ", "bold"), (_source(document["source"]), "bold"), (_said(document.get("event")), "")))
    tree.guide_style = "dim"
    for rule in document.get("rules", ()):
        _add_outcome(tree, rule)
    tree.add(_line(("compared with ", "dim"), (document["compared_with"], "")))
    for note in document["notes"]:
        tree.add(_line(("note ", "yellow"), (note, "")))
    for check in document.get("checks", ()):
        _add_check(tree, check)
    if not document["candidate"]:
        tree.add(_line(("no candidate ", "yellow"), ("its bytes hold nothing that any rule needs: it is not read", "")))
    for letter in document["dead_letters"]:
        rule = f" rule {letter['rule']}" if "rule" in letter else ""
        tree.add(_line((f"dead letter {letter['reason']}{rule} ", "bold red"), (letter["detail"], "")))
    if document["candidate"] and "event" in document and not document["family"]["member"]:
        tree.add(_line(("no member ", "dim"), ("exim4 is neither process, parent nor leader of this execution", "")))
    _add_descent(tree, document)
    if "alert" in document:
        branch = tree.add(_line(("as the alert has it", "bold")))
        _add_term(branch, document["alert"]["term"])
        _add_descent(branch, {name: said for name, said in document["alert"].items() if said != document.get(name)})
    for rule in document.get("rules", ()):
        _add_rule(tree, rule)
    return tree


def _add_outcome(tree: Tree, rule: JsonObject) -> None:
    """What came of a rule, in a line: what to read first. A rule that made a dead letter has its line there."""
    if not rule["matches"]:
        tree.add(_line(("no alert ", "bold"), (f"by {rule['rule']}: {_failing(rule['clauses'])}", "")))
        return
    for term in rule.get("terms", ()):
        verdict = term["verdict"]
        word = {"new": "alerts", "replayed": "judged already"}.get(verdict, "no alert")
        tree.add(_line((f"{word} ", f"bold {_VERDICT_STYLE[verdict]}"), (f"by {rule['rule']}: {term['why']}", "")))


def _failing(clauses: Iterable[JsonObject]) -> str:
    """The first clause that fails, in a sentence; the tree has all of them, and whole."""
    clause = next(clause for clause in clauses if not clause["result"])
    if "parts" not in clause:
        return f"{_cut(clause)} fails, seen: {_seen(clause)}"
    grounds = list(_grounds(clause))
    if clause["needs"] == "none":
        grounds = [ground for ground in grounds if not ground.startswith("not ")] or grounds
    found = ", ".join(grounds[:_GROUNDS] + (["…"] if len(grounds) > _GROUNDS else []))
    return f"excluded by {found}" if clause["needs"] == "none" else f"nothing holds of {found}"


def _grounds(clause: JsonObject) -> Iterator[str]:
    """What decides a clause's result, each with what it saw."""
    if "parts" not in clause:
        yield f"{_cut(clause)} (seen: {_seen(clause)})"
        return
    deciding = clause["result"] != (clause["needs"] == "none")
    for part in clause["parts"]:
        if part["result"] == deciding:
            yield from _grounds(part)


def _cut(clause: JsonObject) -> str:
    text: str = clause["clause"]
    return text if len(text) <= _CLAUSE_LENGTH else f"{text[:_CLAUSE_LENGTH]}…"


def _add_rule(tree: Tree, rule: JsonObject) -> None:
    word, style = ("matches", "bold") if rule["matches"] else ("no match", "dim")
    branch = tree.add(_line((f"rule {rule['rule']} ", "bold"), (f"{rule['name']}: ", ""), (word, style)))
    for clause in rule["clauses"]:
        _add_clause(branch, clause)
    for term in rule.get("terms", ()):
        _add_term(branch, term)


def _add_clause(tree: Tree, clause: JsonObject) -> None:
    if "parts" not in clause:
        tree.add(_line(_PASS[clause["result"]], (f" {clause['clause']}", ""), (f"  {_seen(clause)}", "cyan")))
        return
    branch = tree.add(_line(_PASS[clause["result"]], (f" {_NEEDS[clause['needs']]}", "")))
    for part in clause["parts"]:
        _add_clause(branch, part)


def _seen(clause: JsonObject) -> str:
    seen = []
    for name, values in clause["values"].items():
        said = ", ".join(values) if any(values) else "an empty text" if values else "no value"
        if name in clause.get("objects", ()):
            said = "an object"
        more = clause.get("omitted", {}).get(name)
        seen.append(f"{name}: {said}" + (f" and {more} more" if more else ""))
    return "; ".join(seen) if len(seen) > 1 else seen[0].partition(": ")[2]


def _add_term(tree: Tree, term: JsonObject) -> None:
    values = ", ".join(f"{name} {value}" for name, value in term["term"].items())
    branch = tree.add(_line(("term ", "bold"), (values, "")))
    branch.add(_line((term["verdict"].upper(), _VERDICT_STYLE[term["verdict"]]), (f"  {term['why']}", "")))
    branch.add(_line(("clock ", "dim"), (_clock(term["clock"]), "")))
    state = "known now " if term["verdict"] == "replayed" else "before "
    for name, title in (("state", state), ("forgotten", "forgotten ")):
        if term.get(name) is not None:
            branch.add(_line((title, "dim"), (_state(term[name]), "")))
    if "baseline" in term:
        branch.add(_line(("rule on this host ", "dim"), (_baseline(term["baseline"]), "")))
    branch.add(_line(("alert id ", "dim"), (term["alert_id"], "")))
    if "reason" in term:
        branch.add(_line(("reason ", "dim"), (term["reason"], "")))
    _add_descent(branch, term)


def _add_descent(tree: Tree, fields: JsonObject) -> None:
    if "lineage" in fields:
        lineage = fields["lineage"]
        depth = f", depth {lineage['depth']}" if "depth" in lineage else ""
        complete = "" if lineage["complete"] else ", not complete"
        branch = tree.add(_line(("lineage ", "bold"), (f"{lineage['relation']}{depth}{complete}", "")))
        for process in lineage["processes"]:
            branch.add(_process(process))
    if "assessment" in fields:
        level, score = fields["assessment"]["level"], fields["assessment"]["score"]
        branch = tree.add(_line(("assessment ", "bold"), (f"{level}, {score}", _LEVEL_STYLE[level])))
        for reason in fields["assessment"]["reasons"]:
            branch.add(_line((f"+{reason['points']} {reason['code']} ", "yellow"), (reason["detail"], "")))


def _add_check(tree: Tree, check: JsonObject) -> None:
    said = check["detail"] if check["result"] else f"not so: {check['detail']}"
    tree.add(_line(_PASS[check["result"]], (f" {check['check']} ", "bold"), (said, "")))


def _process(process: JsonObject) -> Text:
    earlier = "".join(f"{name or '?'} then " for name in process.get("earlier", ()))
    where = f" ({process['executable']})" if "executable" in process else ""
    user = process.get("user", {})
    as_user = f" as {user.get('name', user.get('id'))}" if user else ""
    pid = f" pid {process['pid']}" if "pid" in process else ""
    args = process.get("args", [])
    called = f": {' '.join(args[:_ARGS])}{' …' if len(args) > _ARGS else ''}" if args else ""
    return _line(
        (f"{earlier}{process.get('name', '?')}{where}", ""),
        (f"{pid}{as_user}{called}", "dim"),
        (f"  from {process['origin']}", "cyan"),
    )


def _source(source: Mapping[str, Any]) -> str:
    return ":".join(str(part) for part in source.values())


def _said(event: JsonObject | None) -> str:
    if event is None:
        return "  unreadable"
    name, parent = event.get("process.name", "?"), event.get("process.parent.name", "?")
    host = event.get("host.name", event.get("host.id", "an unknown host"))
    return f"  {parent} > {name} on {host} at {event.get('@timestamp', 'an unknown time')}"


def _clock(clock: JsonObject) -> str:
    bounded = f", bounded from {clock['bounded_from']}" if "bounded_from" in clock else ""
    passed = f", {' and '.join(clock['passed_over'])} held no time" if "passed_over" in clock else ""
    return f"{clock['time']} from {clock['source']}{bounded}{passed}"


def _state(state: JsonObject) -> str:
    ago = f" ({state['ago']} before)" if "ago" in state else ""
    program = "".join(f", {name} {state[name]}" for name in ("executable", "sha256") if name in state)
    return f"first seen {state['first_seen']}, last seen {state['last_seen']}{ago}, count {state['count']}{program}"


def _baseline(baseline: JsonObject) -> str:
    terms = f"{baseline['terms']} terms"
    if "watched_since" not in baseline:
        return terms
    return f"{terms}, watched since {baseline['watched_since']} ({baseline['watched_for']})"


def _line(*parts: tuple[str, str]) -> Text:
    return Text().join(_plain(parts))


def _plain(parts: Iterable[tuple[str, str]]) -> Iterator[Text]:
    return (plain(text, style) for text, style in parts)
