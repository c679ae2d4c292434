"""The whole path of recipe dinov2 on real photos, at random weights: speed, memory and sameness, nothing of quality.

python benchmarks/frozen_path.py [--photos 750]

`bas label` on photos of cub25 with a file of random weights of the network, the features kept; a second training on the
same features; one that is stopped and resumed; prediction at the size of the training and at twice that; the ONNX file
against the network. Each a command of its own, whose CPU seconds and largest memory count. Writes
results/speed/frozen_path_<photos>.json.
"""

import argparse
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import timm
import torch
from folders import CELLS
from record import record_speed
from safetensors.torch import save_file

from torchbas import api, data, recipes
from torchbas.data import standardize, whole_view

RECIPE = "dinov2"
FEW = 32
"""Photos that are predicted."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=750)
    words, began = parser.parse_args(), time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        metrics = measured(Path(scratch), words.photos)
    backbone = recipes.load(RECIPE).architecture.backbone
    record_speed(
        f"frozen_path_{words.photos}",
        data=f"cub25, {words.photos} photos",
        protocol=f"recipe {RECIPE}, {backbone} at RANDOM weights: speed, memory and sameness only; CPU seconds",
        metrics=metrics,
        began=began,
    )
    print(json.dumps(metrics, indent=2))


def measured(scratch: Path, count: int) -> dict[str, float]:
    """All numbers of the path."""
    photos, weights, cache, labels = (scratch / name for name in ("photos", "random.safetensors", "cache", "labels"))
    photos.mkdir()
    for name in sorted(CELLS["cub25"](photos, 0))[count:]:
        (photos / name).unlink()
    torch.manual_seed(0)
    network = timm.create_model(recipes.load(RECIPE).architecture.backbone)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, weights)
    common = [photos, "--recipe", RECIPE, "--weights", weights, "--feature-cache", cache]
    found: dict[str, float] = {}

    first = bas("label", *common, "--out", labels, "--format", "coco")
    stages = json.loads((labels / "run.json").read_text())["seconds"]
    found |= {"label_cpu_seconds": first.seconds, "label_megabytes": first.megabytes}
    found["label_seconds_of_features"] = stages["computing features"]
    found["cache_kilobytes_per_photo"] = sum(one.stat().st_size for one in cache.glob("*.npy")) / count / 1000

    again = bas("train", *common, "--out", scratch / "again", "--steps", 500)
    stages = json.loads((scratch / "again/run.json").read_text())["seconds"]
    found |= {"500_steps_cpu_seconds": again.seconds, "500_steps_megabytes": again.megabytes}
    found["500_steps_seconds"] = stages["training"]

    stopped = ["train", *common, "--out", scratch / "stopped", "--steps", 500, "--save-every", 20]
    bas(*stopped, stop_at=scratch / "stopped/checkpoint.pt")
    bas(*stopped, "--resume")
    states = [(scratch / name / "model.safetensors").read_bytes() for name in ("again", "stopped")]
    found["resumed_is_the_same"] = float(states[0] == states[1])

    few = scratch / "few"
    few.mkdir()
    for one in sorted(photos.rglob("*.jpg"))[:FEW]:
        (few / one.name).symlink_to(one)
    for side in (252, 504):
        out = scratch / f"predicted{side}"
        words = [
            few,
            "--model",
            scratch / "again",
            "--input-size",
            side,
            "--min-score",
            0,
            "--out",
            out,
            "--format",
            "coco",
        ]
        found[f"predict_{side}_megabytes"] = bas("predict", *words).megabytes
        seconds = json.loads((out / "run.json").read_text())["seconds"]["localizing"]
        found[f"predict_{side}_seconds_per_photo"] = seconds / FEW
    bas("export", scratch / "again", "--format", "onnx", "--out", scratch / "graph")
    found["onnx_largest_difference"] = onnx_difference(scratch / "again", scratch / "graph", few)
    return {name: float(f"{value:.4g}") for name, value in found.items()}


class Cost:
    """CPU seconds and largest memory of a command, and whether it was stopped."""

    def __init__(self, seconds: float, megabytes: float) -> None:
        self.seconds, self.megabytes = seconds, megabytes


def bas(*words: Any, stop_at: Path | None = None) -> Cost:
    """Run a command; ``stop_at`` is a file at whose appearance it gets Ctrl-C."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    script = "import resource, sys; from torchbas.cli import main; code = main(); "
    script += "sys.stderr.write(f'\\nKB {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}'); sys.exit(code)"
    command = [sys.executable, "-c", script, *map(str, words), "--quiet"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while stop_at is not None and process.poll() is None and not stop_at.exists():
        time.sleep(0.05)
    if stop_at is not None:
        process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    if bool(process.returncode) != (stop_at is not None):
        sys.exit(said or f"{words[0]} was not stopped")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(seconds, int(said.rsplit("KB ", 1)[-1]) / 1024)


def onnx_difference(model: Path, graph: Path, photos: Path) -> float:
    """Largest difference of the ONNX file's maps from the network's, over some photos."""
    localizer = api.load(model)
    session = onnxruntime.InferenceSession(graph / "model.onnx")
    side, largest = localizer.resize, 0.0
    for sample in data.read_untagged(photos).samples[:8]:
        view = whole_view(data.open_image(sample.path), side)[None]
        maps = session.run(["maps"], {"images": view.numpy().astype(np.float32)})[0]
        with torch.inference_mode():
            own = localizer.model.eval()(standardize(view, *localizer.model.normalization)).maps.numpy()
        largest = max(largest, float(np.abs(maps - own).max()))
    return largest


if __name__ == "__main__":
    main()
