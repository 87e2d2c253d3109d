"""A small rule file, and rules made of it."""

from __future__ import annotations

import tomllib
from typing import Any

from app.core.rule import Rule, parse_rule

RULE_FILE = """\
id = "child"
name = "A child of exim4"
version = 3
severity = "low"
risk_score = 21
description = "exim4 started a program."
references = ["CVE-2019-10149"]
tags = ["OS: Linux"]
false_positives = ["Maintenance."]
triage = ["Which program?", "Which user?"]
response = ["Isolate the host."]
query = "process.parent.name:exim4 and not process.name:grep"

[new_terms]
fields = ["host.id", "process.name"]
history_window = "14d"

[[threat]]
framework = "MITRE ATT&CK"
tactic = { id = "TA0003", name = "Persistence", reference = "TA0003 page" }

[[threat.technique]]
id = "T1037"
name = "Initialization Scripts"
reference = "T1037 page"

[[threat.technique.subtechnique]]
id = "T1037.004"
name = "RC Scripts"
reference = "T1037.004 page"

[[threat.technique]]
id = "T1554"
name = "Compromise Host Software Binary"
reference = "T1554 page"
"""


def rule(
    identity: str = "child",
    *,
    fields: tuple[str, ...] = ("host.id", "process.name"),
    window: str = "14d",
    query: str = "process.parent.name:exim4 and not process.name:grep",
) -> Rule:
    """Make a rule that differs from the file in what is given."""
    text = (
        RULE_FILE.replace('id = "child"', f'id = "{identity}"', 1)
        .replace('["host.id", "process.name"]', str(list(fields)).replace("'", '"'))
        .replace('"14d"', f'"{window}"')
        .replace("process.parent.name:exim4 and not process.name:grep", query)
    )
    return parse_rule(text.encode(), f"{identity}.toml")


def table() -> dict[str, Any]:
    """Read the file as TOML."""
    return tomllib.loads(RULE_FILE)
