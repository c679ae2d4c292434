"""A stopped run on disk: what is damaged, of other settings or no number is refused, and nothing of it is lost."""

import resource
import signal
from dataclasses import replace
from functools import partial

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from line import PLAIN, Batches, Crash, Line, cpu, crash, points, raise_signal, same_weights
from training_run import checkpoint, rows

from torchbas.errors import Diverged, InputError, Interrupted
from torchbas.training.checkpoint import CHECKPOINT
from torchbas.training.loop import Hooks, fit


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    fit(cpu(), Line(), points(3, 2), PLAIN, tmp_path, fingerprint="these")
    with pytest.raises(InputError, match=rf"{CHECKPOINT} was made with other settings"):
        fit(cpu(), Line(), points(3, 2), PLAIN, tmp_path, resume=True, fingerprint="those")


@pytest.mark.parametrize("file", [CHECKPOINT, "log.csv"])
@pytest.mark.parametrize("damage", ["half", "flip", "empty", "words"])
def test_a_damaged_run_is_not_resumed_and_nothing_of_it_is_lost(tmp_path, file, damage):
    fit(cpu(), Line(), points(3, 2), replace(PLAIN, steps=4), tmp_path)
    path = tmp_path / file
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[-40 if file == "log.csv" else len(content) // 3] ^= 0xFF
    path.write_bytes({"half": content[:17], "flip": bytes(flipped), "empty": b"", "words": b"a,b\nc,d\n"}[damage])
    before = {place: place.read_bytes() for place in tmp_path.iterdir()}
    with pytest.raises(InputError, match=rf"{file} is damaged .*: bring back a copy of it, or"):
        fit(cpu(), Line(), points(3, 2), replace(PLAIN, steps=6), tmp_path, resume=True)
    assert {place: place.read_bytes() for place in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", ["module", "optimizer", "precision", "state", "fingerprint"])
@pytest.mark.parametrize("value", [None, 3, {"step": -1}, {1: 2}])
def test_a_checkpoint_of_other_content_is_refused(tmp_path, name, value):
    fit(cpu(), Line(), points(3, 2), PLAIN, tmp_path)
    torch.save({**checkpoint(tmp_path), name: value}, tmp_path / CHECKPOINT)
    again = partial(fit, cpu(), Line(), points(3, 2), PLAIN, tmp_path, resume=True)
    if name == "precision" and isinstance(value, dict):  # full precision has no state to read
        assert again() == 6
    else:
        with pytest.raises(InputError, match=rf"{CHECKPOINT} is damaged"):
            again()


def test_a_row_that_a_killed_process_left_in_half_is_no_damage(tmp_path):
    training = replace(PLAIN, save_every=2)
    with pytest.raises(Crash):
        fit(cpu(), Line(), points(3, 2), training, tmp_path, hooks=Hooks(every={5: crash}))
    with (tmp_path / "log.csv").open("a") as log:
        log.write("5,1,1,0.0")
    assert fit(cpu(), Line(), points(3, 2), training, tmp_path, resume=True) == 6
    assert [row["step"] for row in rows(tmp_path)] == [*"123456"]


def test_weights_that_are_no_numbers_are_never_saved(tmp_path):
    def spoil(_):
        line.weight.data[0] = float("inf")

    line = Line()
    with pytest.raises(Diverged, match=r"weight is no number any more after step 6; lower --lr"):
        fit(cpu(), line, points(3, 2), replace(PLAIN, save_every=2), tmp_path, hooks=Hooks(every={6: spoil}))
    assert checkpoint(tmp_path)["state"]["step"] == 4


def test_a_loss_that_is_no_number_never_reaches_the_checkpoint(tmp_path):
    batches = points(8, 2)
    batches.batches[4][1][:] = float("nan")
    with pytest.raises(Diverged, match=r"step 5 \(epoch 0, batch 4: fit nan\)"):
        fit(cpu(), Line(), batches, replace(PLAIN, save_every=2), tmp_path)
    assert checkpoint(tmp_path)["state"]["step"] == 4
    assert checkpoint(tmp_path)["module"]["weight"].isfinite().all()


def test_a_full_disk_is_one_sentence_and_leaves_the_last_checkpoint(tmp_path):
    line, batch = Line(width=100_000), (torch.ones(1, 100_000), torch.ones(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(_):
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))

    training = replace(PLAIN, lr=1e-6, save_every=2)
    try:
        with pytest.raises(InputError, match="make room on the disk and --resume"):
            fit(cpu(), line, Batches([batch] * 6), training, tmp_path, hooks=Hooks(every={3: fill}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert checkpoint(tmp_path)["state"]["step"] == 2
    assert fit(cpu(), Line(width=100_000), Batches([batch] * 6), training, tmp_path, resume=True) == 12


def test_the_gradient_scale_of_fp16_is_part_of_the_checkpoint(tmp_path):
    def half():
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2)
        return Fabric(accelerator="cpu", plugins=[MixedPrecision("16-mixed", "cpu", scaler)])

    fabrics, stop = [half() for _ in range(3)], Hooks(every={3: raise_signal(signal.SIGTERM)})
    whole, cut, rest = Line(), Line(), Line()
    fit(fabrics[0], whole, points(3, 2), PLAIN, tmp_path / "whole")
    with pytest.raises(Interrupted):
        fit(fabrics[1], cut, points(3, 2), PLAIN, tmp_path / "cut", hooks=stop)
    fit(fabrics[2], rest, points(3, 2), PLAIN, tmp_path / "cut", resume=True)
    states = [fabric.strategy.precision.state_dict() for fabric in fabrics]
    assert states[0] == states[2] != states[1]
    assert same_weights(rest, whole)
