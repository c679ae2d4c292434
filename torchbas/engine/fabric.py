"""Devices, processes and precision: Lightning Fabric, set up from a few words."""

import atexit
import os
import re
from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies import DDPStrategy

from ..errors import InputError


def make_fabric(device: str, precision: str, *, unused_parameters: bool = False, **extra: Any) -> Fabric:
    """Fabric for ``auto | cpu | cuda[:n]``, ready to use; under torchrun every process has joined by DDP.

    Args:
        precision: see :data:`torchbas.config.Precision`.
        unused_parameters: some parameters get no gradient in some steps, so DDP must look for them.
        extra: anything else that Fabric takes.

    Raises:
        InputError: an unknown device, or one that is not there.
    """
    kind, _, index = device.partition(":")
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise InputError(f"--device {device} is not known; use auto, cpu, cuda or cuda:0.")
    accelerator = ("cuda" if torch.cuda.is_available() else "cpu") if kind == "auto" else kind
    if accelerator == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise InputError(f"--device {device}: no such usable GPU was found here; use --device cpu or auto.")
    if torch.distributed.is_torchelastic_launched():
        here, everywhere = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
        strategy = DDPStrategy(find_unused_parameters=unused_parameters)
        extra |= {"strategy": strategy, "devices": here, "num_nodes": everywhere // here}
        atexit.register(_part)
    else:
        extra |= {"devices": [int(index)] if index else 1}
    fabric = Fabric(accelerator=accelerator, precision=resolve_precision(precision, accelerator), **extra)
    fabric.launch()
    return fabric


def _part() -> None:
    """Leave the other processes in order; a process that just ends may abort while its connections still work."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def resolve_precision(precision: str, accelerator: str) -> Any:
    """``auto`` is bf16 where the hardware multiplies it faster than fp32."""
    if precision != "auto":
        return precision
    if accelerator == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    # Every other CPU computes bf16, too, but by way of fp32 and slower than it.
    return "bf16-mixed" if torch.cpu.get_capabilities().get("avx512_bf16") else "32-true"
