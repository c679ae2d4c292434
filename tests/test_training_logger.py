"""The log: what is written, when, and what a resumed run makes of it."""

import csv

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from torchbas.errors import Diverged
from torchbas.training.logger import LogEntry, TrainingLogger


def _entry(step, **losses):
    return LogEntry(step, epoch=0, batch=step - 1, terms={name: torch.tensor(value) for name, value in losses.items()})


def _rows(folder):
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_rows_hold_the_position_the_total_and_each_loss(tmp_path):
    with TrainingLogger(tmp_path / "new", done=0) as logger:
        logger.record(_entry(1, classify=2.0, area=0.5))
    expected = {"step": "1", "epoch": "0", "batch": "0", "total": "2.5", "classify": "2.0", "area": "0.5"}
    assert _rows(tmp_path / "new") == [expected]


def test_losses_are_read_after_the_first_step_and_then_once_a_window(tmp_path):
    with TrainingLogger(tmp_path, done=0, window=3) as logger:
        told = [logger.record(_entry(step, classify=float(step))) for step in range(1, 8)]
        assert [step for step, latest in enumerate(told, start=1) if latest] == [1, 3, 6]
        assert told[5] == {"total": 6.0, "classify": 6.0}
        assert [row["step"] for row in _rows(tmp_path)] == list("123456")
        assert logger.flush() == {"total": 7.0, "classify": 7.0}
        assert logger.flush() is None
    assert len(_rows(tmp_path)) == 7


def test_a_loss_that_joins_later_gets_a_column_and_earlier_rows_stay(tmp_path):
    with TrainingLogger(tmp_path, done=0, window=1) as logger:
        logger.record(_entry(1, classify=2.0))
        logger.record(_entry(2, classify=1.0, area=0.5))
        logger.record(_entry(3, classify=0.5, area=0.25))
    assert [(row["total"], row["classify"], row["area"]) for row in _rows(tmp_path)] == [
        ("2.0", "2.0", ""),
        ("1.5", "1.0", "0.5"),
        ("0.75", "0.5", "0.25"),
    ]


def test_resuming_drops_the_steps_that_are_made_again(tmp_path):
    with TrainingLogger(tmp_path, done=0, window=1) as logger:
        for step in range(1, 6):
            logger.record(_entry(step, classify=0.1 + step))
    before = (tmp_path / "log.csv").read_text()
    with TrainingLogger(tmp_path, done=3, window=1) as logger:
        assert [row["step"] for row in _rows(tmp_path)] == list("123")
        for step in (4, 5):
            logger.record(_entry(step, classify=0.1 + step))
    assert (tmp_path / "log.csv").read_text() == before


def test_a_new_run_forgets_the_log_of_an_old_one(tmp_path):
    for value in (1.0, 2.0):
        with TrainingLogger(tmp_path, done=0) as logger:
            logger.record(_entry(1, classify=value))
    assert [row["classify"] for row in _rows(tmp_path)] == ["2.0"]


def test_tensorboard_gets_the_same_numbers(tmp_path):
    with TrainingLogger(tmp_path, done=0, window=1) as logger:
        for step in (1, 2):
            logger.record(_entry(step, classify=1.0 / step, area=0.5))
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss/total")] == [(1, 1.5), (2, 1.0)]
    assert sorted(events.Tags()["scalars"]) == ["loss/area", "loss/classify", "loss/total"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("enabled", [True, False])
def test_a_loss_that_is_no_number_stops_the_run_and_names_the_place(tmp_path, value, enabled):
    losses = {"classify": torch.tensor(1.0), "area": torch.tensor(value)}
    with TrainingLogger(tmp_path, done=0, enabled=enabled) as logger:
        logger.record(_entry(2, classify=1.0, area=0.5))
        logger.record(LogEntry(3, epoch=7, batch=11, terms=losses))
        with pytest.raises(Diverged) as caught:
            logger.flush()
    assert f"step 3 (epoch 7, batch 11: classify 1, area {value}" in str(caught.value)
    assert "--overwrite" in str(caught.value)


def test_disabled_it_checks_and_tells_but_writes_nothing(tmp_path):
    with TrainingLogger(tmp_path / "none", done=0, enabled=False) as logger:
        assert logger.record(_entry(1, classify=2.0)) == {"total": 2.0, "classify": 2.0}
    assert not (tmp_path / "none").exists()


def test_of_several_processes_the_mean_is_told(tmp_path):
    with TrainingLogger(tmp_path, done=0, average=lambda losses: (losses + torch.tensor([4.0, 1.0])) / 2) as logger:
        assert logger.record(_entry(1, classify=2.0, area=0.5)) == {"total": 3.75, "classify": 3.0, "area": 0.75}
