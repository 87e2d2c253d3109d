"""Plays a Dockerfile's COPY and RUN lines in an empty directory, as a plain user, where no container engine is."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

USER: Final = 10001

_DEADLINE_S: Final = 600


@dataclass
class Stage:
    """One stage: its name if it has one, and its instructions in order, each as (name, arguments)."""

    name: str | None
    steps: list[tuple[str, str]] = field(default_factory=list)

    def last(self, name: str) -> str:
        """Arguments of the last instruction of that name."""
        return [arguments for step, arguments in self.steps if step == name][-1]

    def listed(self, name: str) -> list[str]:
        """The same in its exec form."""
        found: list[str] = json.loads(self.last(name))
        return found

    def environment(self) -> dict[str, str]:
        """What ENV sets."""
        pairs = (pair for step, text in self.steps if step == "ENV" for pair in shlex.split(text))
        return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def stages(text: str) -> list[Stage]:
    """The stages of a Dockerfile; what stands before the first FROM is left out."""
    found: list[Stage] = []
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in re.sub(r"\\\n\s*", " ", lines).splitlines():
        name, _, arguments = line.strip().partition(" ")
        if name == "FROM":
            _, _, called = arguments.partition(" AS ")
            found.append(Stage(called or None))
        elif name and found:
            found[-1].steps.append((name, arguments.strip()))
    return found


class Context:
    """What a build may see of a directory."""

    def __init__(self, root: Path, ignore: str) -> None:
        """Keep both; `ignore` is the text of a .dockerignore."""
        self._root = root
        self._rules = [line for line in ignore.splitlines() if line and not line.startswith("#")]

    def files(self, source: str) -> Iterator[Path]:
        """The files of a COPY's source, relative to the context."""
        place = self._root / source
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            relative = path.relative_to(self._root)
            if path.is_file() and self.shows(relative):
                yield relative

    def shows(self, path: Path) -> bool:
        """Whether the last rule that fits a file, or a directory above it, lets it in."""
        shown = True
        for rule in self._rules:
            pattern = rule.removeprefix("!").removeprefix("**/")
            names = [str(above) for above in (path, *path.parents)]
            if rule.startswith("**/"):
                names = list(path.parts)
            if any(fnmatch.fnmatchcase(name, pattern) for name in names):
                shown = rule.startswith("!")
        return shown


class Player:
    """Plays stages into a directory that stands for every stage's root; paths of theirs below `places` lie in it."""

    def __init__(self, root: Path, context: Context, context_root: Path, places: Sequence[str]) -> None:
        """Keep what is given; see `play`."""
        self._root = root
        self._context = context
        self._context_root = context_root
        # A path, not the end of another one.
        self._places = re.compile(rf"(?<![\w./-])({'|'.join(map(re.escape, places))})(?=[/\s;:'\"]|$)")

    def mapped(self, text: str) -> str:
        """A command with its paths below the root."""
        return self._places.sub(lambda found: f"{self._root}{found[1]}", text)

    def play(self, stage: Stage, base: Mapping[str, str]) -> None:
        """Play a stage's COPY, WORKDIR and RUN lines.

        Args:
            stage: Whose lines.
            base: The environment of its image.

        Raises:
            AssertionError: A command failed; with its last words.
        """
        work = self._root
        for name, arguments in stage.steps:
            if name == "WORKDIR":
                work = Path(self.mapped(arguments))
                work.mkdir(parents=True, exist_ok=True)
                own(work)
            elif name == "COPY":
                self._copy(arguments, work)
            elif name == "RUN":
                environment = {**base, **{key: self.mapped(text) for key, text in stage.environment().items()}}
                done = as_plain_user(["/bin/sh", "-c", self.mapped(arguments)], environment, work)
                assert 0 == done.returncode, f"{arguments}\n{done.stdout[-3000:]}"

    def _copy(self, arguments: str, work: Path) -> None:
        *sources, target = [word for word in arguments.split() if not word.startswith("--")]
        if "--from=" in arguments:
            # Every stage lies in the same root: what keeps its place is there.
            if sources != [target]:
                shutil.copytree(self.mapped(sources[0]), self.mapped(target), symlinks=True)
                own(Path(self.mapped(target)))
            return
        for source in sources:
            files = list(self._context.files(source))
            assert files, f"COPY {source}: the context has nothing of it"
            for file in files:
                # A directory's contents go into the target, a file keeps its name.
                is_file = (self._context_root / source).is_file()
                place = work / target / (file.name if is_file else file.relative_to(source))
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self._context_root / file, place)


def own(path: Path) -> None:
    """Give a directory and all in it to the plain user, where we are root."""
    if os.geteuid() == 0:
        for place in (path, *path.rglob("*")):
            os.chown(place, USER, USER, follow_symlinks=False)


def plain() -> list[str]:
    """What begins a command that runs as the plain user: nothing where we are one."""
    if os.geteuid() != 0:
        return []
    # setpriv itself still finds what only root may enter; what it starts does not.
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs", "/usr/bin/env"]


def as_plain_user(
    command: Sequence[str], environment: Mapping[str, str], work: Path
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end with an environment of its own, both outputs as one."""
    return subprocess.run(
        [*plain(), *command],
        cwd=work,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_DEADLINE_S,
        check=False,
    )
