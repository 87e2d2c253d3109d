"""Errors an operator may meet, one class for each decision the caller must make.

Every message is one line: what is wrong, where, and what to do about it.
The command line turns `exit_code` into the process's exit status.
"""

from __future__ import annotations

from typing import ClassVar


class EximwatchError(Exception):
    """Base of every error that is reported to a person as one line, without a traceback."""

    exit_code: ClassVar[int] = 1


class RuleError(EximwatchError):
    """A rule file can't be used. Mend the named line, then start again; nothing was judged yet."""

    exit_code: ClassVar[int] = 2

    def __init__(self, file: str, line: int, reason: str) -> None:
        """Keep where and why.

        Args:
            file: Path of the rule file as the user gave it.
            line: Line in that file, counted from 1.
            reason: What is wrong and what would be right.
        """
        super().__init__(f"{file}:{line}: {reason}")
        self.file = file
        self.line = line
        self.reason = reason


class SettingsError(EximwatchError):
    """A setting is missing or has an impossible value. Correct the variable, key or flag it names."""

    exit_code: ClassVar[int] = 2


class VersionsError(EximwatchError):
    """Packages are installed in versions that the worker was not tested with. Install those of the lock file."""

    exit_code: ClassVar[int] = 2


class InputError(EximwatchError):
    """An input file or stream can't be read. Check its path, its rights and its compression."""

    exit_code: ClassVar[int] = 3


class TopicsError(EximwatchError):
    """Topics are missing or differ from their declaration. Run the command that the message names."""

    exit_code: ClassVar[int] = 4


class BrokerError(EximwatchError):
    """Kafka can't be reached or refused a request. Check the address, the network and the credentials."""

    exit_code: ClassVar[int] = 5


class CorruptTopicError(EximwatchError):
    """A batch of a source topic can't be read. Have the broker's disk checked.

    Where the batch is lost for good, name it in `skip_corrupt`: its offsets are then passed over, loudly.
    """

    exit_code: ClassVar[int] = 8

    def __init__(self, topic: str, partition: int, offset: int, reason: str) -> None:
        """Keep where and why.

        Args:
            topic: The topic.
            partition: The partition.
            offset: The batch's base offset.
            reason: What is wrong with it.
        """
        place = f"{topic}:{partition}:{offset}"
        super().__init__(f"corrupt batch at {place}: {reason}; EXIMWATCH_SKIP_CORRUPT={place} passes over it")
        self.topic = topic
        self.partition = partition
        self.offset = offset


class EffectError(EximwatchError):
    """A send or a table write was not confirmed, so its source offset must never be committed.

    The worker ends at once; after the cause is gone it starts again from the last commit and loses nothing.
    """

    exit_code: ClassVar[int] = 6


class StuckError(EximwatchError):
    """The worker made no progress although there is work and Kafka answers: see what the message says is stuck.

    The worker ends hard and starts again from the last commit; nothing is lost. If it comes back, report the line.
    """

    exit_code: ClassVar[int] = 9


class FrozenError(EximwatchError):
    """The worker stood still for longer than its session allows, so what it would write now may be stale.

    Start it again: it goes on from the last commit. Look for a frozen machine, an overloaded host or a cut network.
    """

    exit_code: ClassVar[int] = 10


class BrokenTableError(EximwatchError):
    """A database of the new-terms table is damaged; nothing was committed that depends on it.

    Start the worker again: it deletes the database and rebuilds it from the changelog. Where that happens more than
    once, have the disk checked.
    """

    exit_code: ClassVar[int] = 11

    def __init__(self, path: str, reason: str) -> None:
        """Keep which and why.

        Args:
            path: The database's directory.
            reason: What RocksDB says.
        """
        super().__init__(f"table database {path} is damaged: {reason}; start again, it is rebuilt from the changelog")
        self.path = path
        self.reason = reason
