"""A scenario file as typed values, each mistake named with its file and line. README.md describes the format."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml

from tests.scenarios.story import Kind, Place, ScenarioError, Scene, Step, Story, Wanted

_TIME_OF_DAY: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d):([0-5]\d)")
_STANDING: Final = "22:00:00"
_BENIGN_DAYS: Final = 3


class _Reader:
    """Values out of YAML nodes, which know their lines."""

    def __init__(self, file: str) -> None:
        self._file = file

    def place(self, node: yaml.Node) -> Place:
        return Place(self._file, node.start_mark.line + 1)

    def mapping(self, node: yaml.Node, needed: set[str], allowed: set[str]) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            self.place(node).wrong("a mapping is wanted here")
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = self.text(key)
            if name in found:
                self.place(key).wrong(f"{name} stands here twice")
            if name not in needed | allowed:
                self.place(key).wrong(f"{name} is unknown here; known are {', '.join(sorted(needed | allowed))}")
            found[name] = value
        if missing := sorted(needed - found.keys()):
            self.place(node).wrong(f"{missing[0]} is missing")
        return found

    def items(self, node: yaml.Node) -> list[yaml.Node]:
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            self.place(node).wrong("a list of one or more is wanted here")
        found: list[yaml.Node] = node.value
        return found

    def text(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode) or not node.value:
            self.place(node).wrong("a text is wanted here")
        return str(node.value)

    def texts(self, node: yaml.Node) -> tuple[str, ...]:
        return tuple(self.text(item) for item in self.items(node))

    def seconds(self, node: yaml.Node) -> float:
        try:
            found = float(self.text(node))
        except ValueError:
            found = -1
        if not 0 <= found < 86_400:
            self.place(node).wrong("seconds of a day are wanted here, such as 0.25")
        return found

    def flag(self, node: yaml.Node) -> bool:
        if self.text(node) not in ("true", "false"):
            self.place(node).wrong("true or false is wanted here")
        return self.text(node) == "true"

    def day(self, node: yaml.Node) -> int:
        if not re.fullmatch(r"[1-9]\d?", self.text(node)):
            self.place(node).wrong("a day is wanted here, 1 for the first")
        return int(self.text(node))


def read_story(path: Path) -> Story:
    """Read one file.

    Raises:
        ScenarioError: It is no scenario; the message names file and line.
    """
    reader = _Reader(path.name)
    try:
        node = yaml.compose(path.read_text("utf-8"), Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ScenarioError(f"{path.name}:{line}: {error.problem}") from None
    if node is None:
        raise ScenarioError(f"{path.name}:1: the file is empty")
    found = reader.mapping(node, {"title", "kind", "about", "sources", "standing", "scenes"}, {"merges"})
    standing = found["standing"]
    scenes = tuple(_scenes(reader, found["scenes"]))
    kind = _kind(reader, found["kind"], scenes)
    return Story(
        reader.place(node),
        reader.text(found["title"]),
        kind,
        reader.text(found["about"]),
        reader.texts(found["sources"]),
        reader.flag(found["merges"]) if "merges" in found else True,
        Scene(reader.place(standing), "standing", False, (0,), _time_of_day(_STANDING), _steps(reader, standing), ()),
        scenes,
    )


def _kind(reader: _Reader, node: yaml.Node, scenes: tuple[Scene, ...]) -> Kind:
    attacks = any(scene.attack for scene in scenes)
    kind, place = reader.text(node), reader.place(node)
    if kind not in ("attack", "benign"):
        place.wrong("kind is attack or benign")
    if attacks != (kind == "attack"):
        place.wrong("an attack, and no benign story, has a scene with attack: true")
    if not attacks and any(len(scene.days) < _BENIGN_DAYS for scene in scenes):
        place.wrong(f"every scene of a benign story is played on {_BENIGN_DAYS} days or more")
    return "attack" if attacks else "benign"


def _scenes(reader: _Reader, node: yaml.Node) -> Iterator[Scene]:
    for item in reader.items(node):
        found = reader.mapping(item, {"scene", "days", "at", "processes"}, {"attack", "alerts"})
        at = _time_of_day(reader.text(found["at"]))
        if at < 0:
            reader.place(found["at"]).wrong("a time of the day is wanted here, such as 09:30:00")
        days = tuple(reader.day(day) for day in reader.items(found["days"]))
        if list(days) != sorted(set(days)):
            reader.place(found["days"]).wrong("the days must rise")
        yield Scene(
            reader.place(item),
            reader.text(found["scene"]),
            "attack" in found and reader.flag(found["attack"]),
            days,
            at,
            _steps(reader, found["processes"]),
            tuple(_alerts(reader, found["alerts"], days)) if "alerts" in found else (),
        )


def _time_of_day(text: str) -> int:
    match = _TIME_OF_DAY.fullmatch(text)
    return -1 if match is None else int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3])


def _steps(reader: _Reader, node: yaml.Node) -> tuple[Step, ...]:
    return tuple(_step(reader, item) for item in reader.items(node))


def _step(reader: _Reader, item: yaml.Node) -> Step:
    allowed = {"parent", "user", "cwd", "setsid", "setpgid", "exe", "args", "lasts", "ends"}
    found = reader.mapping(item, {"id", "at"}, allowed)
    place = reader.place(item)
    text = {name: reader.text(found[name]) for name in ("parent", "user", "cwd", "exe") if name in found}
    flags = {name: name in found and reader.flag(found[name]) for name in ("setsid", "setpgid", "ends")}
    if not found.keys() - {"id", "at", "lasts"}:
        place.wrong("nothing happens here: name a parent, an exe, a user, a cwd, setsid, setpgid or ends")
    if "args" in found and "exe" not in found:
        place.wrong("args belong to an exe")
    if "lasts" in found and "parent" not in found:
        place.wrong("lasts belongs to a parent, where the process begins")
    if flags["ends"] and found.keys() - {"id", "at", "ends"}:
        place.wrong("what ends does nothing else; a process that begins here has lasts")
    return Step(
        place,
        reader.text(found["id"]),
        reader.seconds(found["at"]),
        text.get("parent"),
        text.get("user"),
        text.get("cwd"),
        flags["setsid"],
        flags["setpgid"],
        text.get("exe"),
        _args(reader, found["args"]) if "args" in found else (text.get("exe", ""),),
        reader.seconds(found["lasts"]) if "lasts" in found else None,
        flags["ends"],
    )


def _args(reader: _Reader, node: yaml.Node) -> tuple[str, ...]:
    """A list, or a text that is cut as a shell would."""
    if isinstance(node, yaml.SequenceNode):
        return reader.texts(node)
    try:
        return tuple(shlex.split(reader.text(node)))
    except ValueError as error:
        reader.place(node).wrong(f"args can't be cut into words: {error}")


def _alerts(reader: _Reader, node: yaml.Node, days: tuple[int, ...]) -> Iterator[Wanted]:
    for item in reader.items(node):
        found = reader.mapping(item, {"rule", "term"}, {"day", "lineage"})
        day = reader.day(found["day"]) if "day" in found else days[0]
        if day not in days:
            reader.place(item).wrong(f"the scene is not played on day {day}")
        lineage = reader.texts(found["lineage"]) if "lineage" in found else None
        yield Wanted(reader.place(item), reader.text(found["rule"]), reader.text(found["term"]), day, lineage)
