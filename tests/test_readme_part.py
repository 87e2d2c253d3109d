"""Parts of the README that are made from results."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.readme_part import NoPlaceError, print_or_write, written

_BEGIN, _END = "<!-- figures begin -->", "<!-- figures end -->"
_README = f"before\n{_BEGIN}\nold\n{_END}\nafter\n"


def test_text_stands_between_the_markers() -> None:
    """Everything else is kept, and a second time changes nothing."""
    once = written(_README, _BEGIN, _END, "new")

    assert f"before\n{_BEGIN}\nnew\n{_END}\nafter\n" == once
    assert once == written(once, _BEGIN, _END, "new")


@pytest.mark.parametrize("readme", ["nothing", f"{_BEGIN}\nnever closed", f"{_END}\n"])
def test_readme_without_markers_is_refused(readme: str) -> None:
    """Nothing is written somewhere else."""
    with pytest.raises(NoPlaceError):
        written(readme, _BEGIN, _END, "new")


def test_part_is_printed_or_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Printed unless `--write` is said; without results it says which command makes them."""
    results, readme = tmp_path / "chaos" / "results.json", tmp_path / "README.md"
    readme.write_text(_README)
    codes = [print_or_write([], results, str, _BEGIN, _END, readme)]
    results.parent.mkdir()
    results.touch()
    codes += [print_or_write(said, results, lambda: "new", _BEGIN, _END, readme) for said in ([], ["--write"])]
    out, err = capsys.readouterr()

    assert ([1, 0, 0], "new\n") == (codes, out)
    assert err.endswith("results.json is not there: run `make chaos` first\n")
    assert f"before\n{_BEGIN}\nnew\n{_END}\nafter\n" == readme.read_text()
