"""The KQL subset: what is accepted, what it means, and how everything else is refused."""

from __future__ import annotations

import time
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.kql import (
    And,
    Equals,
    Exists,
    Not,
    Or,
    Query,
    QueryError,
    Wildcard,
    compile_query,
    parse,
)
from app.core.kql.grammar import MAX_DEPTH, MAX_LENGTH
from app.errors import EximwatchError
from tests.core.queries import EXIM4_CHILD, Event, Number, event, event_for, holds, leaves, queries

A, B, C, D = (Equals(name, "1") for name in "abcd")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:1", A),
        (" \t\r\n\u00a0a : 1\n", A),
        ("(a:1)", A),
        ("((a:(1)))", A),
        ('"a":"1"', A),
        ("a:1 and b:1", And((A, B))),
        ("a:1 AND b:1 Or c:1", Or((And((A, B)), C))),
        ("a:1 or b:1 and c:1", Or((A, And((B, C))))),
        ("(a:1 or b:1) and c:1", And((Or((A, B)), C))),
        ("a:1 and b:1 and c:1", And((A, B, C))),
        ("a:1 and (b:1 and c:1)", And((A, And((B, C))))),
        ("not a:1 and b:1", And((Not(A), B))),
        ("NOT (a:1 and b:1)", Not(And((A, B)))),
        ("not not a:1", Not(Not(A))),
        ("not(a:1)and(b:1)or(c:1)", Or((And((Not(A), B)), C))),
        ("a:1 or not b:1 or c:1 and d:1", Or((A, Not(B), And((C, D))))),
    ],
)
def test_precedence_is_not_then_and_then_or(text: str, expected: Query) -> None:
    """Clauses combine as in Kibana, keywords in any case, parentheses first."""
    assert expected == parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:(x or y)", Or((Equals("a", "x"), Equals("a", "y")))),
        ("a:(x and y)", And((Equals("a", "x"), Equals("a", "y")))),
        ("a:(not x)", Not(Equals("a", "x"))),
        ("a:(x or not y and z)", Or((Equals("a", "x"), And((Not(Equals("a", "y")), Equals("a", "z")))))),
        ("a:((x or y*) and *)", And((Or((Equals("a", "x"), Wildcard("a", ("y", "")))), Exists("a")))),
        ("not a:(x or y)", Not(Or((Equals("a", "x"), Equals("a", "y"))))),
    ],
)
def test_each_value_of_a_group_is_a_clause_on_its_field(text: str, expected: Query) -> None:
    """A group of values means the same as clauses on one field, with the same precedence."""
    assert expected == parse(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("exim4", Equals("f", "exim4")),
        ("update-exim4.conf", Equals("f", "update-exim4.conf")),
        ("/usr/sbin/exim4", Equals("f", "/usr/sbin/exim4")),
        ("what?", Equals("f", "what?")),
        ("[kworker/0]", Equals("f", "[kworker/0]")),
        ("müller", Equals("f", "müller")),
        ("nothing", Equals("f", "nothing")),
        ("orange", Equals("f", "orange")),
        ("and-so", Equals("f", "and-so")),
        ('""', Equals("f", "")),
        ('"a b"', Equals("f", "a b")),
        ('"and"', Equals("f", "and")),
        ('"(x) <y> {z} a:b"', Equals("f", "(x) <y> {z} a:b")),
        ('"*"', Equals("f", "*")),
        ('"a*"', Equals("f", "a*")),
        (r"\*", Equals("f", "*")),
        (r"a\*b", Equals("f", "a*b")),
        (r"\\\(\)\:\<\>\"\*\{\}", Equals("f", r'\():<>"*{}')),
        (r"a\tb\rc\nd", Equals("f", "a\tb\rc\nd")),
        (r'"a\tb\rc\nd"', Equals("f", "a\tb\rc\nd")),
        ('"a\nb"', Equals("f", "a\nb")),
        (r"\u0065xim4", Equals("f", "exim4")),
        (r'"\u0065xim4 \"\\"', Equals("f", 'exim4 "\\')),
        (r"\ud83d\ude00", Equals("f", "😀")),
        (r"\and", Equals("f", "and")),
        (r"\OR", Equals("f", "OR")),
        (r"\not", Equals("f", "not")),
        (r"\note", Equals("f", "\note")),
        ("*", Exists("f")),
        ("**", Exists("f")),
        ("a*", Wildcard("f", ("a", ""))),
        ("*a", Wildcard("f", ("", "a"))),
        ("a**b*", Wildcard("f", ("a", "b", ""))),
        (r"a\**", Wildcard("f", ("a*", ""))),
        ("or*", Wildcard("f", ("or", ""))),
        (r"a\u0020b*", Wildcard("f", ("a b", ""))),
    ],
)
def test_values_are_read_with_kibanas_escapes(value: str, expected: Query) -> None:
    """Stars are wildcards only where they are bare; a star alone asks whether the field exists."""
    assert expected == parse(f"f:{value}")


def test_a_leaf_knows_where_its_value_stands() -> None:
    """Line and column point at the value in the author's own text, for a later explanation."""
    query = parse("a:1 and\n  b : (x* or\n*)")

    assert [(1, 3), (2, 8), (3, 1)] == [(leaf.line, leaf.column) for leaf in leaves(query)]
    assert ["1", "x*", "*"] == [leaf.value_text for leaf in leaves(query)]


def test_a_wildcards_value_shows_its_pattern() -> None:
    """The pattern is given with literal stars escaped."""
    query = parse(r"f:a\**b")

    assert isinstance(query, Wildcard)
    assert r"a\**b" == query.value


@pytest.mark.parametrize(
    ("text", "line", "column", "named"),
    [
        ("", 1, 1, "empty query"),
        (" \n\u00a0", 1, 1, "empty query"),
        ("a >= 1", 1, 3, "range operators (>=)"),
        ("a:1 and\n  b < 1", 2, 5, "range operators (<)"),
        ("a:<1", 1, 3, "range operators (<)"),
        ("a:{b:1}", 1, 3, "nested queries ({)"),
        ("a:1}", 1, 4, "nested queries (})"),
        ("*:1", 1, 1, "wildcards in field names (*)"),
        ("b:1 and a*:1", 1, 9, "wildcards in field names (a*)"),
        ("exim4", 1, 1, "free text without a field (exim4)"),
        ("*", 1, 1, "free text without a field (*)"),
        ("a:1 and exim4 or b:1", 1, 9, "free text without a field (exim4)"),
        ("exim4 sendmail", 1, 1, "free text without a field (exim4)"),
        ('"x y"', 1, 1, 'free text without a field ("x y")'),
        ("(exim4)", 1, 2, "free text without a field (exim4)"),
        ("a\\\nb", 1, 1, "free text without a field (a\\\\u000ab)"),
        ("x" * 99, 1, 1, f"free text without a field ({'x' * 39}…)"),
        ("a:", 1, 2, "value is missing"),
        ("(a:)", 1, 3, "value is missing"),
        ("a:and", 1, 3, "keyword and stands where a value should"),
        ("a:NOT b:1", 1, 3, "keyword NOT stands where a value should"),
        ("a::1", 1, 3, "second :"),
        ("a:b:c", 1, 4, ": follows a value"),
        ("a:(b:c)", 1, 5, ": follows a value"),
        (":1", 1, 1, "no field before it"),
        ("(:1)", 1, 2, "no field before it"),
        ("a:1 and", 1, 5, "operator and has nothing after it"),
        ("(a:1 OR)", 1, 6, "operator OR has nothing after it"),
        ("not", 1, 1, "operator not has nothing after it"),
        ("a:1 and :2", 1, 5, "operator and has nothing after it"),
        ("and a:1", 1, 1, "operator and has nothing before it"),
        ("a:1 and or b:1", 1, 9, "operator or has nothing before it"),
        ("a:(or b)", 1, 4, "operator or has nothing before it"),
        ("(a:1", 1, 1, "never closed"),
        ("(a:1) and b:(c or (d)", 1, 13, "never closed"),
        ("a:1)", 1, 4, "no ( belongs to this )"),
        ("()", 1, 2, "parentheses are empty"),
        ("a:()", 1, 4, "parentheses are empty"),
        (
            "a:foo bar",
            1,
            7,
            'values with spaces are not part of the supported KQL subset unless quoted; write "foo bar"',
        ),
        ("a:(foo bar)", 1, 8, "values with spaces"),
        ("a:(foo # why)", 1, 8, "a query has no comments; write it above the query"),
        ("a:1 b:1", 1, 5, "operator is missing before b"),
        ("a:1\n  not b:1", 2, 3, "operator is missing before not"),
        ("a:1 (b:1)", 1, 5, "operator is missing before ("),
        ('a:"x" y', 1, 7, "operator is missing before y"),
        ("(a:1) b", 1, 7, "operator is missing before b"),
        ('a:"x', 1, 3, "quote has no end"),
        ("a:x\\", 1, 4, "backslash at the end"),
        (r"a:b\x", 1, 4, r"escape \x has no meaning; write \\"),
        (r"a:\origin", 1, 3, r"escape \o has no meaning; write \\"),
        (r'a:"C:\Temp"', 1, 6, r"escape \T has no meaning in quotes"),
        (r'a:"\*"', 1, 4, r"escape \* has no meaning in quotes"),
        (r"a:\u12", 1, 3, r"escape \u needs four hexadecimal digits"),
        (r"a:x\ud83d", 1, 3, "half of a surrogate pair"),
        (r"a:\ud83d*\ude00", 1, 3, "half of a surrogate pair"),
        ("a:" + "b" * MAX_LENGTH, 1, MAX_LENGTH + 1, f"more than {MAX_LENGTH}"),
        ("not " * (MAX_DEPTH + 1) + "a:1", 1, 4 * MAX_DEPTH + 5, f"deeper than {MAX_DEPTH} levels"),
    ],
)
def test_anything_else_is_refused_by_name_and_place(text: str, line: int, column: int, named: str) -> None:
    """The error points at the construct, names it and stays on one line."""
    with pytest.raises(QueryError) as raised:
        parse(text)

    assert (line, column) == (raised.value.line, raised.value.column)
    assert named in raised.value.reason
    assert f"line {line}, column {column}: {raised.value.reason}" == str(raised.value)
    assert 1 == len(str(raised.value).splitlines())


def test_a_query_error_is_an_error_for_the_operator() -> None:
    """It is reported like a bad rule: one line and that exit code."""
    assert issubclass(QueryError, EximwatchError)
    assert 2 == QueryError.exit_code


@pytest.mark.parametrize(
    "text",
    [
        "not " * 15_000 + "a:1",
        "(" * 30_000 + "a:1",
        "a:" + "(" * 30_000,
        "(not a:1 and " * 4_000 + "a:1" + ")" * 4_000,
        "a:(not b or " * 1_000,
    ],
    ids=["not", "open", "open group", "mixed", "group after group"],
)
def test_deep_nesting_is_an_error_and_no_crash(text: str) -> None:
    """Whatever the depth, the answer is a QueryError."""
    with pytest.raises(QueryError):
        parse(text)


def test_needless_parentheses_and_long_lists_are_not_deep() -> None:
    """Only what nests in meaning counts towards the depth."""
    assert A == parse("(" * 20_000 + "a:1" + ")" * 20_000)
    assert Or((A,) * 5_000) == parse(" or ".join(["a:1"] * 5_000))


def test_the_greatest_depth_is_accepted() -> None:
    """A query at the bound is read, printed and compiled."""
    query = parse("not " * MAX_DEPTH + "a:1")

    assert query == parse(str(query))
    assert compile_query(query)(event(a="1"))


_FRAGMENTS = [
    "a",
    ":",
    "b",
    " ",
    "(",
    ")",
    "and",
    "or",
    "not",
    "*",
    '"',
    "\\",
    "\n",
    "<",
    "{",
    "é",
    "\\u0041",
    "\u2028",
]


@settings(deadline=None)
@given(st.lists(st.sampled_from(_FRAGMENTS), max_size=25).map("".join) | st.text(max_size=20))
def test_any_text_is_a_query_or_a_query_error_inside_the_text(text: str) -> None:
    """No other exception leaves the parser, and each error's place exists in the text."""
    read = _read(text)

    if isinstance(read, QueryError):
        lines = (text + " ").split("\n")
        assert 1 <= read.column <= len(lines[read.line - 1]) + 1
        assert 1 == len(str(read).splitlines())
    else:
        assert read == parse(str(read))


@settings(deadline=None)
@given(queries())
def test_a_printed_query_parses_back_to_an_equal_tree(query: Query) -> None:
    """`str()` is canonical: equal trees print alike, on one line, and nothing is lost."""
    text = str(query)

    assert query == parse(text)
    assert text == str(parse(text))
    assert 1 == len(text.splitlines())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:1   AND   NOT ( b:1 )", "a:1 and not b:1"),
        ("not (a:1 and b:1)", "not (a:1 and b:1)"),
        ("not not a:1", "not (not a:1)"),
        ("(a:1 or b:1) and c:1", "(a:1 or b:1) and c:1"),
        ("not (a:1 or a:2*)", "not a:(1 or 2*)"),
        ("a:(1 or 2) and b:*", "a:(1 or 2) and b:*"),
        ("a:(x or (y or z))", "a:x or a:(y or z)"),
        (
            'a:("x y" or "AND" or "q\\"\\\\" or "\u00a0\u2028\n")',
            r'a:("x y" or "AND" or "q\"\\" or "\u00a0\u2028\u000a")',
        ),
        (r"a\ :1".replace("\\ ", r"\u0020"), '"a ":1'),
        (r"a:\u0020\(*\u00a0", r"a:\u0020\(*\u00a0"),
        ('a:"\U000e0001"', r'a:"\udb40\udc01"'),
    ],
)
def test_the_printed_form_is_what_an_author_would_write(text: str, expected: str) -> None:
    """Few parentheses, groups for the values of a field, escapes for what can't be seen."""
    assert expected == str(parse(text))


def test_a_query_names_its_fields() -> None:
    """All fields are listed, also those under a negation."""
    assert {"a", "b", "c", "d"} == parse("a:1 and not (b:* or c:x*) or d:(1 or 2)").fields()


@pytest.mark.parametrize(
    ("text", "judged", "expected"),
    [
        ("f:v", event(f="v"), True),
        ("f:v", event(f=["u", "v"]), True),
        ("f:v", event(f="V"), False),
        ("f:v", event(f="vv"), False),
        ("f:v", event(), False),
        ("f:1000", event(f=Number("1000")), True),
        ("f:1000", event(f=Number("1e3")), False),
        ("f:true", event(f=True), True),
        ("f:(a or b)", event(f=["x", "b"]), True),
        ("f:(a or b)", event(f="c"), False),
        ("f:(a and b)", event(f=["b", "a"]), True),
        ("f:(a and b)", event(f="a"), False),
        ("not f:v", event(), True),
        ("not f:v", event(f=[]), True),
        ("not f:v", event(f=["u", "v"]), False),
        ("not f:(a or (b or c))", event(), True),
        ("not f:(a or (b or c))", event(f="d"), True),
        ("not f:(a or (b or c))", event(f=["d", "c"]), False),
        ("not f:(a or b*)", event(f="bc"), False),
        ("not (f:a or g:a)", event(g="a"), False),
        ("not not f:v", event(f="v"), True),
        ("f:*", event(f=""), True),
        ("f:*", event(f=None), False),
        ("f:*", event(f=[]), False),
        ("f:*", event(), False),
        ("not f:*", event(f=[None]), True),
        ("f:a*", event(f="a"), True),
        ("f:a*", event(f="ba"), False),
        ("f:*a", event(f="ba"), True),
        ("f:*a*", event(f="bab"), True),
        ("f:a*a", event(f="a"), False),
        ("f:a*b*c", event(f="axxc"), False),
        ("f:a*b*c", event(f="abxbc"), True),
        ("f:a*b*c", event(f="ab\nc"), True),
        ("f:a*b*b", event(f="ab"), False),
        ("f:a*b*b", event(f="abb"), True),
        ("f:*aa*a*", event(f="aa"), False),
        ("f:*aa*a*", event(f="aaa"), True),
        ("f:a?c*", event(f="abc"), False),
        ("f:a?c*", event(f="a?c"), True),
        ("f:x* or g:1", event(g="1"), True),
        ("f:x* or f:1 or f:2", event(f="2"), True),
        ("f:x* or g:1", event(), False),
    ],
)
def test_the_meaning_of_each_construct(text: str, judged: Event, expected: bool) -> None:
    """Any element may satisfy a clause; a missing field satisfies only a negation."""
    assert expected is compile_query(parse(text))(judged)


@settings(deadline=None)
@given(queries(), st.randoms(use_true_random=False))
def test_the_predicate_means_what_the_tree_says(query: Query, random: Random) -> None:
    """However the compiler joins clauses, the verdict is that of the plain reading."""
    judged = event_for(query, random)

    assert holds(query, judged) is compile_query(query)(judged)


def test_a_conjunction_stops_at_its_first_false_clause() -> None:
    """Clauses are asked from the left, and none after the one that decides."""
    asked: list[str] = []

    class Watched(Event):
        def values(self, field: str) -> list[str]:
            asked.append(field)
            return super().values(field)

    assert not compile_query(parse("a:1 and b:1 and c:1"))(Watched({"a": ["1"]}))
    assert ["a", "b"] == asked


@pytest.mark.parametrize(
    ("name", "expected"),
    [("sh", True), (None, True), ("grep", False), (["sh", "grep"], False), ("Grep", True)],
)
def test_the_exim4_query_judges_children(name: str | list[str] | None, expected: bool) -> None:
    """The shipped query's shape: fixed clauses and one long exclusion list."""
    elements: dict[str, list[str]] = {
        "host.os.type": ["linux"],
        "event.type": ["start", "end"],
        "event.action": ["fork", "exec", "end"],
        "process.parent.name": ["exim4"],
    }
    if name is not None:
        elements["process.name"] = [name] if isinstance(name, str) else name

    assert expected is compile_query(parse(EXIM4_CHILD))(Event(elements))


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ("*a*a*a*a*b", "a" * 100_000),
        ("*a" * 500 + "*b", "a" * 100_000),
        ("*" + "a" * 500 + "b*a", "a" * 100_000),
        ("*ab*ab*ab*c*", "ab" * 50_000),
    ],
    ids=["few stars", "many stars", "long piece", "pairs"],
)
def test_wildcards_take_linear_time(pattern: str, value: str) -> None:
    """An attacker's longest argument against an awkward pattern costs milliseconds, not years."""
    predicate = compile_query(parse(f"f:{pattern}"))
    started = time.perf_counter()

    assert not predicate(event(f=value))
    assert time.perf_counter() - started < 0.5


def _read(text: str) -> Query | QueryError:
    try:
        return parse(text)
    except QueryError as error:
        return error
