"""What is wrong with a query, and where."""

from __future__ import annotations

from typing import ClassVar

from app.errors import EximwatchError


class QueryError(EximwatchError):
    """A query is not in the supported KQL subset. Mend it at the named line and column."""

    exit_code: ClassVar[int] = 2

    def __init__(self, reason: str, line: int, column: int) -> None:
        """Keep what and where.

        Args:
            reason: The construct by name, and what to write instead; one line.
            line: Line in the query's own text, counted from 1.
            column: Column in that line, in characters, counted from 1.
        """
        super().__init__(f"line {line}, column {column}: {reason}")
        self.reason = reason
        self.line = line
        self.column = column

    @classmethod
    def at(cls, text: str, offset: int, reason: str) -> QueryError:
        """Make the error that points at a character of the query, or just past its end."""
        line_start = text.rfind("\n", 0, offset) + 1
        return cls(reason, text.count("\n", 0, offset) + 1, offset - line_start + 1)
