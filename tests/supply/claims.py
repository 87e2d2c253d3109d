"""What installed packages say of their licences, as SPDX expressions, and where they say it."""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Final, NamedTuple

from tests.supply.lock import Locked

_CLASSIFIERS: Final = {
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
_WORDS: Final = {
    "Apache 2": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "MIT License": "MIT",
}
"""`License` as these packages write it, where it is no SPDX expression."""

_SPDX: Final = frozenset({"Apache-2.0", "BSD-3-Clause", "MIT", "PSF-2.0"})
_READ: Final = {
    "uvloop": ("Apache-2.0 OR MIT", "its description: dual-licensed"),
    "venusian": ("BSD-3-Clause-Modification", "its licence file, read: BSD with a clause on changed files"),
    "colorama": ("BSD-3-Clause", "its licence file, read; installed on Windows only"),
}
"""Where the metadata is missing, ambiguous or coarse, with what was read by a person."""


class Claim(NamedTuple):
    """An SPDX expression, and where it comes from."""

    expression: str
    source: str


class Crates(NamedTuple):
    """Rust crates compiled into a wheel, as its own bill of materials names them: how many, by licence."""

    number: int
    licences: tuple[tuple[str, int], ...]


def installed(package: Locked) -> Distribution | None:
    """Its metadata, if it is installed here in this very version."""
    try:
        found = distribution(package.name)
    except PackageNotFoundError:
        return None
    return found if found.version == package.version else None


def claim(package: Locked) -> Claim | None:
    """What is claimed; nothing where the package is not installed and was not read.

    Raises:
        ValueError: Its metadata say nothing that is understood: read its licence, and add it to this module.
    """
    if package.name in _READ:
        return Claim(*_READ[package.name])
    if (found := installed(package)) is None:
        return None
    metadata = found.metadata
    if expression := metadata["License-Expression"]:
        return Claim(expression, "License-Expression")
    if (word := metadata["License"]) and (word in _SPDX or word in _WORDS):
        return Claim(_WORDS.get(word, word), "License")
    classifiers = [line.split(" :: ")[-1] for line in metadata.get_all("Classifier", []) if line.startswith("License")]
    if classifiers == ["BSD License"] and "BSD-3-Clause" == _bsd(found):
        return Claim("BSD-3-Clause", "classifier, and the licence file's third clause")
    if len(classifiers) == 1 and classifiers[0] in _CLASSIFIERS:
        return Claim(_CLASSIFIERS[classifiers[0]], "classifier")
    raise ValueError(f"{package.name} {package.version}: License {word!r}, classifiers {classifiers}")


def _bsd(found: Distribution) -> str | None:
    for file in found.files or ():
        if re.search(r"licen[cs]e", file.name, re.IGNORECASE) and ".dist-info" in str(file):
            text = " ".join(file.read_text(encoding="utf-8").split())
            if "Redistributions in binary form" in text and "Neither the name of" in text:
                return "BSD-3-Clause"
    return None


def native_files(found: Distribution) -> Iterator[str]:
    """Names of its compiled modules and bundled libraries."""
    for file in found.files or ():
        if re.search(r"\.so(\.\d+)*$", file.name):
            yield file.name


@functools.cache
def crates(name: str) -> Crates | None:
    """The Rust crates in an installed wheel, if it brings a CycloneDX document of them.

    Raises:
        ValueError: A crate tells no licence.
    """
    counted: Counter[str] = Counter()
    for file in distribution(name).files or ():
        if ".dist-info/sboms/" in str(file) and file.name.endswith(".cyclonedx.json"):
            for one in json.loads(file.read_text(encoding="utf-8"))["components"]:
                counted[_expression(one)] += 1
    return Crates(counted.total(), tuple(sorted(counted.items()))) if counted else None


def _expression(crate: dict[str, list[dict[str, str]]]) -> str:
    said = crate.get("licenses", [])
    if len(said) != 1 or "expression" not in said[0]:
        raise ValueError(f"crate {crate['name']}: licences {said}")
    return said[0]["expression"]
