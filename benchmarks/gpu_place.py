"""Where the rows of gpu.py run: a device, sizes, and a folder for photos and runs."""

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from torchbas import data
from torchbas.data import make_demo_dataset
from torchbas.structures import Dataset


class Failed(Exception):
    """What was measured is not as it must be."""

    def __init__(self, said: str, metrics: dict[str, float]) -> None:
        super().__init__(said)
        self.metrics = metrics


class Place(NamedTuple):
    """A device, and how large what is done there is."""

    device: str
    """``cuda`` or ``cpu``."""
    small: bool
    """Tiny sizes, to try a row out where there is no GPU."""
    folder: Path
    """For photos and runs; emptied by whoever made it."""

    @property
    def on_gpu(self) -> bool:
        return self.device.startswith("cuda")

    @property
    def workers(self) -> int:
        """Processes that decode."""
        return 8 if self.on_gpu and not self.small else 0

    def backbone(self, name: str) -> str:
        """The network of that name; in a small place one with which everything is quick."""
        return "test_resnet" if self.small else name

    def photos(self, size: int = 128, each: int = 16) -> Dataset:
        """Drawn photos of six tags, ``each`` of a tag to learn from and a quarter as many to test on."""
        size, each = (48, 3) if self.small else (size, each)
        folder = self.folder / f"photos_{size}_{each}"
        return data.read(folder) if folder.is_dir() else make_demo_dataset(folder, each, max(1, each // 4), size)

    def wait(self) -> None:
        """Until the device has done what it was told."""
        if self.on_gpu:
            torch.cuda.synchronize()

    def clear(self) -> None:
        """Give memory back, and count its peak from now on."""
        gc.collect()
        if self.on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def peak_mb(self) -> dict[str, int]:
        """MB of tensors at most since :meth:`clear`; nothing on a CPU."""
        return {"peak_mb": round(torch.cuda.max_memory_allocated() / 2**20)} if self.on_gpu else {}

    def seconds(self, work: Callable[[], Any], at_least: float = 1.5) -> float:
        """Seconds of one call: the mean over so many that they take some time; the first ones do not count."""
        for _ in range(0 if self.small else 5):
            work()
        self.wait()
        start, calls = time.perf_counter(), 0
        while True:
            for _ in range(1 if self.small else 10):
                work()
                calls += 1
            self.wait()
            taken = time.perf_counter() - start
            if self.small or taken > at_least:
                return taken / calls
