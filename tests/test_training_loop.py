"""One loop: it learns, stops, is killed, goes on, and nobody can tell afterwards."""

import signal
import threading
from dataclasses import replace

import pytest
import torch
from line import PLAIN, Batches, Crash, Line, cpu, crash, points, raise_signal, same_weights
from torch import nn
from training_run import TRAINING, checkpoint, draw_photos, make_task, rows

from torchbas.config import Objective
from torchbas.data import training_loader
from torchbas.errors import InputError, Interrupted
from torchbas.training.fabric import make_fabric
from torchbas.training.loop import Hooks, fit


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return draw_photos(tmp_path_factory.mktemp("photos"))


def batches_of(samples, training=TRAINING):
    return training_loader(samples, training.batch_size, training.seed, training.resize, training.crop)


def test_one_step_by_hand(tmp_path):
    line, batches = Line(), Batches([(torch.tensor([[2.0]]), torch.tensor([6.0]))])
    assert fit(cpu(), line, batches, replace(PLAIN, epochs=1, lr=0.01, momentum=0.0), tmp_path) == 1
    assert line.weight.item() == pytest.approx(0.01 * 2 * 2 * 6)  # the gradient of (2 w - 6)^2 at 0 is -24
    assert rows(tmp_path) == [{"step": "1", "epoch": "0", "batch": "0", "total": "36.0", "fit": "36.0"}]


def test_a_bas_network_learns_its_photos(samples, tmp_path):
    training = replace(TRAINING, batch_size=6, epochs=15)
    fit(cpu(), make_task(Objective()), batches_of(samples, training), training, tmp_path)
    first, *_, last = rows(tmp_path)
    assert float(last["total"]) < 0.5 * float(first["total"])
    assert float(last["classify"]) < 0.1 < 1.0 < float(first["classify"])


def test_steps_of_several_batches_equal_steps_of_one_large_batch(tmp_path):
    halves, wholes = points(8, 2), points(4, 4)  # the same sixteen points in the same order
    accumulated, whole = Line(), Line()
    assert fit(cpu(), accumulated, halves, replace(PLAIN, accumulate=2), tmp_path / "halves") == 8
    assert fit(cpu(), whole, wholes, PLAIN, tmp_path / "wholes") == 8
    torch.testing.assert_close(accumulated.weight, whole.weight)
    ours, theirs = rows(tmp_path / "halves"), rows(tmp_path / "wholes")
    assert [float(row["fit"]) for row in ours] == pytest.approx([float(row["fit"]) for row in theirs])


def test_what_is_left_over_at_the_end_of_an_epoch_makes_a_step_of_its_own(tmp_path):
    line, batches = Line(), points(3, 2)
    joined = tuple(torch.cat(parts) for parts in zip(*batches.batches[:2], strict=True))
    expected = Line()
    assert fit(cpu(), line, batches, replace(PLAIN, accumulate=2), tmp_path / "a") == 4
    fit(cpu(), expected, Batches([joined, batches.batches[2]]), PLAIN, tmp_path / "b")
    torch.testing.assert_close(line.weight, expected.weight)


def test_clipping_bounds_the_step(tmp_path):
    line, batch = Line(), (torch.tensor([[1e4]]), torch.tensor([1e4]))
    fit(cpu(), line, Batches([batch]), replace(PLAIN, epochs=1, lr=0.1, clip=0.5), tmp_path)
    assert line.weight.item() == pytest.approx(0.05)


def test_the_schedule_reaches_every_group_with_its_factor(tmp_path):
    head = nn.Module()
    head.head = Line()
    head.forward = head.head.forward
    batches = Batches([(torch.tensor([[1.0]]), torch.tensor([0.5]))] * 2)
    training = replace(PLAIN, lr=0.01, momentum=0.0, step_epochs=1)
    fit(cpu(), head, batches, training, tmp_path)
    weight, rates = 0.0, [0.1, 0.1, 0.01, 0.01]  # new layers learn ten times as fast, a tenth from epoch 1 on
    for rate in rates:
        weight += rate * 2 * (0.5 - weight)
    assert head.head.weight.item() == pytest.approx(weight)


def test_bf16_multiplies_in_half_and_keeps_weights_in_full(samples, tmp_path):
    task, kinds = make_task(), set()
    task.network.get_submodule("f2.1").register_forward_hook(lambda _, __, output: kinds.add(output.dtype))
    fit(make_fabric("cpu", "bf16-mixed"), task, batches_of(samples), replace(TRAINING, steps=5), tmp_path)
    assert kinds == {torch.bfloat16}
    assert {parameter.dtype for parameter in task.parameters()} == {torch.float32}
    assert all(float(row["total"]) > 0 for row in rows(tmp_path))


@pytest.mark.parametrize(("steps", "seen"), [(5, [0, 1, 2, 0, 1]), (9, [0, 1, 2] * 3)])
def test_a_number_of_steps_overrules_the_epochs(tmp_path, steps, seen):
    batches = points(3, 2)
    assert fit(cpu(), Line(), batches, replace(PLAIN, epochs=2, steps=steps), tmp_path) == steps
    assert [number for _, number in batches.seen] == seen


def test_poly_falls_to_zero_over_the_steps_there_are(tmp_path):
    line, at = Line(), {}
    hooks = Hooks(every={1: lambda step: at.setdefault(step, line.weight.item())})
    training = replace(PLAIN, steps=4, lr=0.01, momentum=0.0, schedule="poly")
    fit(cpu(), line, Batches([(torch.tensor([[1.0]]), torch.tensor([1.0]))]), training, tmp_path, hooks=hooks)
    weight = 0.0
    for step in range(4):
        weight += 0.01 * (1 - step / 4) ** 0.9 * 2 * (1 - weight)
        assert at[step + 1] == pytest.approx(weight)


def test_hooks_hear_of_steps_epochs_and_intervals_and_measure_in_evaluation_mode(tmp_path):
    told, modes, epochs, line = [], [], [], Line()
    hooks = Hooks(
        on_step=lambda step, steps, losses: told.append((step, steps, list(losses))),
        on_epoch=lambda here: epochs.append((here.step, here.epoch, here.batch)),
        every={4: lambda step: modes.append((step, line.training))},
    )
    fit(cpu(), line, points(6, 2), PLAIN, tmp_path, hooks=hooks)
    assert told == [(1, 12, ["total", "fit"]), (10, 12, ["total", "fit"])]
    assert modes == [(4, False), (8, False), (12, False)]
    assert epochs == [(6, 1, 0), (12, 2, 0)]
    assert line.training


def test_a_checkpoint_is_written_every_save_every_steps(tmp_path):
    hooks, training = Hooks(every={5: crash}), replace(PLAIN, save_every=2)
    with pytest.raises(Crash):
        fit(cpu(), Line(), points(3, 2), training, tmp_path, hooks=hooks)
    assert checkpoint(tmp_path)["state"] == {"step": 4, "epoch": 1, "batch": 1}
    assert [row["step"] for row in rows(tmp_path)] == ["1", "2", "3", "4"]
    assert sorted(path.name for path in tmp_path.iterdir() if "partial" in path.name) == []


@pytest.mark.parametrize("crash_at", range(2, 7))
def test_going_on_repeats_and_skips_no_batch_and_no_epoch(tmp_path, crash_at):
    """Three batches an epoch and a checkpoint after every step, so also one at the very end of an epoch."""
    whole, training = points(3, 2), replace(PLAIN, save_every=1)
    expected, line, again = Line(), Line(), Line()
    fit(cpu(), expected, whole, training, tmp_path / "whole")
    with pytest.raises(Crash):
        fit(cpu(), line, points(3, 2), training, tmp_path / "cut", hooks=Hooks(every={crash_at: crash}))
    rest, epochs = points(3, 2), []
    hooks = Hooks(on_epoch=lambda here: epochs.append(here.epoch))
    assert fit(cpu(), again, rest, training, tmp_path / "cut", resume=True, hooks=hooks) == 6
    assert rest.seen == whole.seen[crash_at - 1 :]
    assert epochs == ([1, 2] if crash_at <= 3 else [2])
    assert same_weights(again, expected)
    assert (tmp_path / "cut/log.csv").read_text() == (tmp_path / "whole/log.csv").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at", [4, 6])
def test_a_signal_saves_after_that_very_step_and_the_rest_is_bit_identical(samples, tmp_path, number, at):
    whole, cut, rest = make_task(), make_task(), make_task()
    training, handler = replace(TRAINING, save_every=100), signal.getsignal(number)
    fit(cpu(), whole, batches_of(samples), training, tmp_path / "whole")
    hooks = Hooks(every={at: raise_signal(number)})
    with pytest.raises(Interrupted, match=f"after step {at} of 12"):
        fit(cpu(), cut, batches_of(samples), training, tmp_path / "cut", hooks=hooks)
    assert checkpoint(tmp_path / "cut")["state"] == {"step": at, "epoch": at // 6, "batch": at % 6}
    assert signal.getsignal(number) == handler
    torch.rand(7)  # the process's own generator is no part of it
    fit(cpu(), rest, batches_of(samples), training, tmp_path / "cut", resume=True)
    assert same_weights(rest, whole)
    assert (tmp_path / "cut/log.csv").read_text() == (tmp_path / "whole/log.csv").read_text()


def test_a_signal_in_the_last_step_is_heard_and_finds_the_run_complete(tmp_path):
    hooks = Hooks(every={6: raise_signal(signal.SIGTERM)})
    with pytest.raises(Interrupted, match="after step 6 of 6"):
        fit(cpu(), Line(), points(3, 2), PLAIN, tmp_path, hooks=hooks)
    rest = points(3, 2)
    assert fit(cpu(), Line(), rest, PLAIN, tmp_path, resume=True) == 6
    assert rest.seen == []


def test_a_finished_run_does_nothing_more(tmp_path):
    line, again = Line(), Line()
    fit(cpu(), line, points(3, 2), PLAIN, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    rest = points(3, 2)
    assert fit(cpu(), again, rest, PLAIN, tmp_path, resume=True) == 6
    assert rest.seen == []
    assert same_weights(again, line)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_no_batch_is_an_error_not_an_endless_search_for_one(tmp_path):
    with pytest.raises(InputError, match="fewer training photos than processes"):
        fit(cpu(), Line(), Batches([]), replace(PLAIN, steps=3), tmp_path)


def test_resuming_where_nothing_was_saved_starts_at_the_beginning(tmp_path):
    assert fit(cpu(), Line(), points(3, 2), PLAIN, tmp_path, resume=True) == 6


def test_it_also_runs_outside_the_main_thread(tmp_path):
    done = []
    thread = threading.Thread(target=lambda: done.append(fit(cpu(), Line(), points(3, 2), PLAIN, tmp_path)))
    thread.start()
    thread.join()
    assert done == [6]
