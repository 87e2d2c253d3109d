"""The direction of imports: errors ← core ← runtime ← tools, with the sieve apart; read from the files."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
APP = ROOT / "app"
FILES = sorted(APP.rglob("*.py"))

MAY_IMPORT = {
    "errors": {"errors"},
    "core": {"errors", "core"},
    "sieve": {"sieve"},
    "runtime": {"errors", "core", "sieve", "runtime"},
    "tools": {"errors", "core", "sieve", "runtime", "tools"},
    "__init__": set(),
    "__main__": {"tools"},
}
CORE_PACKAGES = {"app", "lark", "msgspec", "orjson", "stringzilla", *sys.stdlib_module_names}


def layer_of(file: Path) -> str:
    """The first name below `app`."""
    return file.relative_to(APP).parts[0].removesuffix(".py")


def imported(file: Path) -> Iterator[str]:
    """Every module that a file imports, at whatever place, by its absolute name."""
    package = ".".join(file.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: -(node.level - 1) or None] if node.level else []
            module = ".".join([*parents, *filter(None, [node.module])])
            yield module
            if module == "app":
                yield from (f"app.{alias.name}" for alias in node.names)


def test_every_part_of_the_package_has_its_place() -> None:
    """A new part of `app` must be given a layer here."""
    assert {layer_of(file) for file in FILES} <= set(MAY_IMPORT)
    assert FILES


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(APP)))
def test_imports_go_one_way(file: Path) -> None:
    """A layer imports itself and those below it, never those above; nothing imports the sieve but who composes it."""
    layers = {name.split(".")[1] for name in imported(file) if name.startswith("app.")}

    assert layers <= MAY_IMPORT[layer_of(file)]
    assert not {name for name in imported(file) if name.split(".")[0] == "tests"}


@pytest.mark.parametrize("file", sorted((APP / "core").rglob("*.py")), ids=lambda file: file.name)
def test_core_knows_no_package_of_the_outside(file: Path) -> None:
    """The pure core imports the standard library and a few packages that only compute."""
    assert {name.split(".")[0] for name in imported(file)} <= CORE_PACKAGES


@pytest.mark.parametrize("file", sorted((APP / "core").rglob("*.py")), ids=lambda file: file.name)
def test_core_touches_no_clock_file_network_or_log(file: Path) -> None:
    """Time, files, randomness, the network, threads and logging come from outside, as arguments."""
    impure = {"logging", "os", "pathlib", "random", "secrets", "socket", "asyncio", "threading", "time", "uuid", "io"}

    assert not impure & {name.split(".")[0] for name in imported(file)}


def test_only_the_runtime_knows_faust() -> None:
    """Faust can be replaced by rewriting one layer."""
    known = {layer_of(file) for file in FILES if "faust" in {name.split(".")[0] for name in imported(file)}}

    assert {"runtime"} == known
