"""Devices, processes and precision from a few words."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from torchbas.errors import InputError
from torchbas.training.fabric import make_fabric, resolve_precision, splits_batch_statistics


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [
        ({"avx2": True, "avx512_f": True, "avx512_bf16": True}, "bf16-mixed"),
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False}, "32-true"),  # bf16 there is slower than fp32
        ({"avx2": True}, "32-true"),
        ({"neon": True, "bf16": True}, "32-true"),
    ],
)
def test_auto_on_a_cpu_is_bf16_where_there_are_instructions_for_it(monkeypatch, capabilities, precision):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert resolve_precision("auto", "cpu") == precision


def test_auto_agrees_with_what_linux_says_of_this_cpu():
    if not (cpuinfo := Path("/proc/cpuinfo")).exists():
        pytest.skip("not Linux")
    expected = "bf16-mixed" if "avx512_bf16" in cpuinfo.read_text().split() else "32-true"
    assert resolve_precision("auto", "cpu") == expected


@pytest.mark.parametrize(("supported", "precision"), [(True, "bf16-mixed"), (False, "16-mixed")])
def test_auto_on_a_gpu_is_half_precision_of_the_kind_it_has(monkeypatch, supported, precision):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: supported)
    assert resolve_precision("auto", "cuda") == precision


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_any_other_precision_is_taken_at_its_word(precision):
    assert resolve_precision(precision, "cpu") == precision


def test_a_fabric_is_ready_to_use():
    fabric = make_fabric("cpu", "32-true")
    assert (fabric.device.type, fabric.world_size, fabric.global_rank) == ("cpu", 1, 0)
    assert fabric.all_reduce(torch.tensor(2.0)) == 2


def test_variables_of_other_launchers_make_no_processes(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert make_fabric("cpu", "32-true").world_size == 1


@pytest.mark.parametrize("device", ["tpu", "cuda:", "cuda:one", "cpu:0", "CPU", ""])
def test_an_unknown_device_is_answered_with_the_known_ones(device):
    with pytest.raises(InputError, match=r"use auto, cpu, cuda or cuda:0\.$"):
        make_fabric(device, "32-true")


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:3"])
def test_a_gpu_that_is_not_there_is_answered_with_the_next_move(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InputError, match=rf"^--device {device}: .* use --device cpu or auto\.$"):
        make_fabric(device, "32-true")


@pytest.mark.parametrize(
    ("processes", "norm", "frozen", "splits"),
    [
        (2, nn.BatchNorm2d, False, True),
        (2, nn.BatchNorm2d, True, False),
        (2, nn.Identity, False, False),
        (1, nn.BatchNorm2d, False, False),
    ],
)
def test_processes_split_the_statistics_of_batches_where_batch_norm_learns(
    monkeypatch, processes, norm, frozen, splits
):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: processes > 1)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: processes)
    network = nn.Sequential(nn.Conv2d(3, 4, 1), norm(4)).train(not frozen)
    assert splits_batch_statistics(network) == splits


def test_the_precision_is_not_announced():
    code = "from torchbas.training.fabric import make_fabric; make_fabric('cpu', 'bf16-mixed')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_more_processes_than_gpus_are_refused_with_the_number_to_start(monkeypatch):
    for name, value in {"LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.distributed, "is_torchelastic_launched", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match=r"started 2 processes .* GPUs \(1\): give it --nproc-per-node 1\.$"):
        make_fabric("cuda", "32-true")
