"""Faults of a worker's disk."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.chaos.scene import Fault, NotInjectedError, Scene

if TYPE_CHECKING:
    from random import Random

    from tests.chaos.supervisor import Post

_FILES: Final = re.compile(r".*\.sst|\d+\.log|MANIFEST-\d+|CURRENT")
_AT_ONCE_S: Final = 1.2
_HALF: Final = 0.5
_BROKEN_TABLE: Final = frozenset({11})


def lose(scene: Scene, random: Random) -> None:
    """The directory is gone when the worker starts again."""
    post = scene.any_post(random)
    scene.play()
    scene.pass_time(random.uniform(0, _AT_ONCE_S))
    with scene.held(post):
        _end(scene, random, post)
        shutil.rmtree(post.data, ignore_errors=True)


def truncate(scene: Scene, random: Random) -> None:
    """A database's file is cut while the worker is down."""
    post = scene.any_post(random)
    scene.play()
    scene.pass_time(random.uniform(0, _AT_ONCE_S))
    with scene.held(post):
        _end(scene, random, post)
        file = _file(post, random)
        with file.open("r+b") as cut:
            cut.truncate(random.randrange(file.stat().st_size))


def overwrite(scene: Scene, random: Random) -> None:
    """A database's file is overwritten with noise, while the worker is down or in mid-work."""
    post = scene.any_post(random)
    scene.play()
    scene.pass_time(random.uniform(0, _AT_ONCE_S))
    if random.random() < _HALF:
        _scribble(_file(post, random), random)
        scene.pass_time(random.uniform(0, _AT_ONCE_S))
        scene.supervisor.kill(post)
        return
    with scene.held(post):
        _end(scene, random, post)
        _scribble(_file(post, random), random)


def _end(scene: Scene, random: Random, post: Post) -> None:
    if random.random() < _HALF:
        scene.supervisor.kill(post)
    else:
        scene.supervisor.stop(post)


def _file(post: Post, random: Random) -> Path:
    """A file that matters, of one of the databases."""
    found = [
        path
        for path in sorted(post.data.rglob("*.db/*"))
        if _FILES.fullmatch(path.name) and path.is_file() and path.stat().st_size
    ]
    if not found:
        raise NotInjectedError(f"{post.data} holds no database yet")
    return random.choice(found)


def _scribble(file: Path, random: Random) -> None:
    size = file.stat().st_size
    begin = 0 if random.random() < _HALF else random.randrange(size)
    with file.open("r+b") as damaged:
        damaged.seek(begin)
        damaged.write(random.randbytes(size - begin))


FAULTS: Final = (
    Fault("data directory lost", lose),
    Fault("database file cut", truncate, exits=_BROKEN_TABLE),
    Fault("database file overwritten", overwrite, exits=_BROKEN_TABLE),
)
