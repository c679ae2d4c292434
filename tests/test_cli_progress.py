"""Progress: count, bar and time left fit into 80 columns before anything else; a log says the time left, too."""

import io

import pytest
from rich.console import Console

from torchbas.cli import progress
from torchbas.cli.progress import Reporter, table

LOSSES = {"suppress": 0.5, "area": 0.25, "guide": 1.234, "classify": 0.1, "background": 0.22}


@pytest.mark.parametrize("width", [40, 80, 120])
def test_count_and_time_left_come_before_the_losses(width):
    reporter = Reporter()
    with reporter.stage("training") as stage:
        stage.step(50, 150, LOSSES)
        stage.step(52, 150, LOSSES)
        console = Console(file=io.StringIO(), width=width)
        console.print(reporter.bars.get_renderable())
    (line,) = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(line) <= width
    assert "52/150" in line
    assert ":" in line[: line.find("suppress") if "suppress" in line else None]  # -:--:-- or a time
    assert ("area 0.25" in line) == (width >= 80)


def test_a_log_says_how_long_it_will_take(monkeypatch, capsys):
    clock = iter(map(float, range(0, 10_000, 20)))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with Reporter().stage("training") as stage:
        for done in (0, 1, 2, 40, 50):
            stage.at(done, 50, "area 0.2")
    said = capsys.readouterr().err.splitlines()
    assert said[1] == "training: 1 of 50 photos, 16 min left, area 0.2"  # 20 s for each of the 49
    assert said[3] == "training: 40 of 50 photos, 15 s left, area 0.2"  # 60 s for 40
    assert said[4].startswith("training: 50 of 50 photos, area")


def test_a_title_is_not_as_narrow_as_its_table(capsys):
    table("12 photos in a folder with a rather long name, 2 tags", ["tag"], [["a"]])
    assert "12 photos in a folder with a rather long name, 2 tags\n" in capsys.readouterr().err


def test_a_title_and_cells_quote_control_characters(capsys):
    table("12 photos in a\x1b[2Jb", ["tag"], [["c\x1b[31m"]])
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert r"a\x1b[2Jb" in said
    assert r"c\x1b[31m" in said
