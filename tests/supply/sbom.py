"""The software bill of materials, made from the lock: `python -m tests.supply.sbom --write` puts it into deploy.

CycloneDX 1.6. Nothing in it depends on the time, the machine or the registry, so that it changes with the lock alone.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator
from typing import Any, Final

from tests.supply.bundled import BUNDLED
from tests.supply.licences import written_licences
from tests.supply.lock import PROJECT, ROOT, Locked, locked, runtime

FILE: Final = ROOT / "deploy" / "sbom.cdx.json"


def document() -> dict[str, Any]:
    """The bill of materials, every package of the lock in it."""
    packages = locked()
    running = runtime(packages)
    licences = written_licences()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    application = _ref(PROJECT, version)
    refs = {one.name: _ref(one.name, one.version) for one in packages} | {PROJECT: application}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": application,
                "name": PROJECT,
                "version": version,
                "purl": application,
            },
        },
        "components": [_component(one, licences[one.name], is_running=one.name in running) for one in packages],
        "dependencies": [
            {"ref": refs[name], "dependsOn": [refs[one.name] for one in packages if name in one.wanted_by]}
            for name in (PROJECT, *(one.name for one in packages))
        ],
    }


def _ref(name: str, version: str) -> str:
    return f"pkg:pypi/{name}@{version}"


def _component(package: Locked, licence: str, *, is_running: bool) -> dict[str, Any]:
    ref = _ref(package.name, package.version)
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": ref,
        "name": package.name,
        "version": package.version,
        "scope": "required" if is_running else "excluded",
        # One for each file of this version; an install is one of them.
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in package.hashes],
        "licenses": [{"expression": licence, "acknowledgement": "declared"}],
        "purl": ref,
    }
    if package.marker:
        component["properties"] = [{"name": "eximwatch:marker", "value": package.marker}]
    if inside := list(_inside(package)):
        component["components"] = inside
    return component


def _inside(package: Locked) -> Iterator[dict[str, Any]]:
    for one in BUNDLED:
        if one.package == package.name:
            yield {
                "type": "library",
                "bom-ref": f"{package.name}/{one.name}",
                "name": one.name,
                **({"version": one.version} if one.version else {}),
                "licenses": [{"expression": one.licence}],
            }


def text() -> str:
    """The file's text."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        FILE.write_text(text(), encoding="utf-8")
    else:
        sys.stdout.write(text())
