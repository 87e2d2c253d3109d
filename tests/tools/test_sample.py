"""The made-up fleet: what is sent from one attack to the next."""

from __future__ import annotations

from random import Random
from typing import Final

import msgspec

from app.core.clock import parse_time
from app.core.duration import DAY, SECOND
from app.tools.sample import STEADY, turn
from app.tools.story import MailHost, load_recording
from tests.broker.history import BEGIN

HOST: Final = MailHost("mail-new.example.test", attacked=True)


def test_a_turn_lasts_until_the_next_attack_at_its_rate() -> None:
    """In the order of its times, other programs all the way, and the recording's on four mail servers."""
    cues = list(turn(load_recording(), HOST, BEGIN, Random(1), 10, 60.0))
    times = [cue.at for cue in cues]
    assert sorted(times) == times
    assert 59 < times[-1] < 60
    mail = {host.id.encode() for host in (HOST, *STEADY)}
    assert mail < {cue.key for cue in cues}
    assert 595 < sum(cue.key not in mail for cue in cues) <= 600


def test_an_attacked_host_has_learned_and_is_attacked_now() -> None:
    """Its ordinary work is days old, within a rule's window; the attack is dated as it is sent."""
    cues = [cue for cue in turn(load_recording(), HOST, BEGIN, Random(1), 10, 60.0) if cue.key == HOST.id.encode()]
    documents = [msgspec.json.decode(cue.value) for cue in cues]
    ages = [
        BEGIN + cue.at * SECOND - (parse_time(one["@timestamp"]) or 0) for cue, one in zip(cues, documents, strict=True)
    ]
    attack = [age for age in ages if abs(age) < SECOND]
    ordinary = [age for age in ages if age > DAY]
    assert len(ages) == len(attack) + len(ordinary)
    assert 0 < len(attack) < len(ordinary)
    assert max(ordinary) < 6 * DAY
