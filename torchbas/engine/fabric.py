"""Devices, processes and precision: Lightning Fabric, set up from a few words."""

import os
from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies import DDPStrategy

from ..types import InputError


def make_fabric(device: str, precision: str, *, unused_parameters: bool = False, **extra: Any) -> Fabric:
    """Fabric for ``auto | cpu | cuda[:n]``; under torchrun every process joins by DDP (gloo on CPU, nccl on GPU)."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    kind, _, index = device.partition(":")
    accelerator = ("cuda" if torch.cuda.is_available() else "cpu") if kind == "auto" else kind
    if accelerator == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: no usable GPU was found here; use --device cpu or auto.")
    if processes > 1:
        nodes = processes // int(os.environ.get("LOCAL_WORLD_SIZE", processes))
        strategy = DDPStrategy(find_unused_parameters=unused_parameters)
        extra |= {"strategy": strategy, "devices": processes // nodes, "num_nodes": nodes}
    else:
        extra |= {"devices": [int(index)] if index else 1}
    return Fabric(accelerator=accelerator, precision=resolve_precision(precision, accelerator), **extra)


def resolve_precision(precision: str, accelerator: str) -> Any:
    """``auto`` is bf16 where the hardware multiplies it faster than fp32."""
    if precision != "auto":
        return precision
    if accelerator == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    capabilities = torch.backends.cpu.get_cpu_capability()
    fast = capabilities.startswith("AVX512") and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return "bf16-mixed" if fast else "32-true"
