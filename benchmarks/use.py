"""What using a model costs: start-up of the commands, predicting and scoring beside the bare network, bytes of a part.

python benchmarks/use.py [--photos 200] [--side 256]

CPU seconds of whole processes, the kernel's beside the user's, one thread. `bas predict --shard` and `bas eval` work on
photos of cub25 by MobileNetV1 at the size given, the network alone on the same photos, decoded before: F1, F2, the
map, and S_b, which belong to a localization. `as_libc` is the same with the C library's own handling of freed memory.
Writes results/speed/use_<side>.json.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from record import data_folder, record_speed

from torchbas import data
from torchbas.api import Compute
from torchbas.cli.memory import keep_freed_memory
from torchbas.config import Architecture, Inference
from torchbas.data import decode, standardize, whole_view
from torchbas.data.loader import evaluation_loader
from torchbas.inference.localize import detect
from torchbas.inference.localizer import Localizer
from torchbas.methods.bas import BASMethod
from torchbas.structures import Dataset

PROGRAM = "import sys; from torchbas.cli import main; sys.exit(main(sys.argv[1:]))"
AS_LIBC = "import sys, torchbas.cli as cli; cli.keep_freed_memory = lambda: None; sys.exit(cli.main(sys.argv[1:]))"
STARTS = {
    "help": ["--help"],
    "predict_help": ["predict", "--help"],
    "recipes": ["recipes"],
    "check": ["check", "{few}"],
    "export": ["export", "{parts}", "--format", "coco", "--out", "{new}"],
    "predict": ["predict", "{few}", "--model", "{model}", "--out", "{new}", "--format", "coco"],
}
NORMALIZATION = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--side", type=int, default=256)
    words = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    keep_freed_memory()  # as the commands do
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        localizer = prepared(folder, words.photos, words.side)
        alone = bare(data.read(folder / "photos"), localizer)
        metrics = {"decode_s": round(alone.pop("decode"), 2), "decode_12_megapixels_s": large_photo(folder, words.side)}
        metrics |= {f"network_alone_{name}_s": round(seconds, 1) for name, seconds in alone.items()}
        for name in alone:  # numba compiles at the first call on a machine
            whole_command(name, folder, "few", PROGRAM)
        few = {name: whole_command(name, folder, "few", PROGRAM) for name in alone}
        for way, program in (("", PROGRAM), ("_as_libc", AS_LIBC)):
            for name, seconds in alone.items():
                spent, start = whole_command(name, folder, f"photos{way}", program), few[name]
                metrics |= {f"{name}{way}_{kind}_s": value for kind, value in spent.items()}
                metrics[f"{name}{way}_start_s"] = round(sum(start.values()), 2)
                metrics[f"{name}{way}_network_percent"] = round(
                    100 * seconds / (sum(spent.values()) - sum(start.values())), 1
                )
        part = folder / "predict_photos" / "part-00000.parquet"
        metrics["bytes_a_photo"] = round(part.stat().st_size / words.photos)
        places = {"few": folder / "few", "parts": part.parent, "model": folder / "model"}
        for number, (name, start) in enumerate(STARTS.items()):
            command = [word.format(**places, new=folder / f"new{number}") for word in start]
            metrics[f"start_{name}_s"] = round(sum(cost(PROGRAM, command).values()), 2)
    record_speed(
        f"use_{words.side}",
        data=f"{words.photos} photos of cub25, two tags",
        protocol=f"MobileNetV1 at {words.side} pixels, random head and generator, batches of 16, CPU seconds",
        metrics=metrics,
        began=began,
    )
    print(metrics)


def prepared(folder: Path, count: int, side: int) -> Localizer:
    """Photos as links in folders of two tags, with their true boxes, two of them again alone, and a model."""
    samples = [sample for sample in data.read(data_folder() / "cub25").samples if sample.boxes][:count]
    for place, some in (("photos", samples), ("few", samples[:2])):
        truth = {}
        for number, sample in enumerate(some):
            name = f"{'ab'[number % 2]}/{number:04}.jpg"
            (folder / place / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / place / name).symlink_to(sample.path.resolve())
            truth[name] = {"boxes": sample.boxes}
        (folder / place / "truth.json").write_text(json.dumps(truth))
    (folder / "photos_as_libc").symlink_to(folder / "photos")
    torch.manual_seed(0)
    architecture = Architecture(backbone="mobilenetv1", activation="relu6", head="linear")
    weights = data_folder() / "weights" / "mobilenetv1_imagenet_fp16.pth"
    model = BASMethod.build(architecture, 2, weights, NORMALIZATION)
    localizer = Localizer(model, ("a", "b"), side, side, Inference(threshold=0.4))
    localizer.save(folder / "model")
    return localizer


def bare(photos: Dataset, localizer: Localizer) -> dict[str, float]:
    """CPU seconds of decoding, and of the network: all that a localization needs, and what a score needs."""
    seconds, model = {"decode": 0.0, "predict": 0.0, "eval": 0.0}, localizer.model.eval()
    view = partial(whole_view, size=localizer.resize)
    batches, began = iter(evaluation_loader(photos, view, 16, at_least=localizer.resize)), time.process_time()
    for batch in batches:
        seconds["decode"] += time.process_time() - began
        images = standardize(batch.images, *model.normalization).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), Compute("cpu").context()():
            began = time.process_time()
            detect(model, images, batch.labels, localizer.inference)
            seconds["predict"] += time.process_time() - began
            began = time.process_time()
            encoded = model.encode(images)
            model.heatmaps(encoded, encoded.logits.argmax(dim=1), localizer.inference)
            seconds["eval"] += time.process_time() - began
        began = time.process_time()
    return seconds


def large_photo(folder: Path, side: int) -> float:
    """CPU seconds to decode and view a photo of 12 megapixels as cameras write them."""
    small = decode(next((folder / "few/a").iterdir())).image
    small.resize((4000, 3000), Image.Resampling.BICUBIC).save(folder / "large.jpg", quality=92)
    began = time.process_time()
    for _ in range(10):
        whole_view(decode(folder / "large.jpg", at_least=side).image, size=side)
    return round((time.process_time() - began) / 10, 4)


def whole_command(name: str, folder: Path, photos: str, program: str) -> dict[str, float]:
    """CPU seconds of `bas predict --shard` or `bas eval`."""
    words = [name, str(folder / photos), "--model", str(folder / "model")]
    out = ["--out", str(folder / f"predict_{photos}"), "--shard", "0/1", "--tags", "a", "--overwrite"]
    return cost(program, [*words, *(out if name == "predict" else ["--no-ten-crop"])])


def cost(program: str, words: list[str]) -> dict[str, float]:
    """CPU seconds of a command in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program, *words, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"user": round(after.ru_utime - before.ru_utime, 2), "kernel": round(after.ru_stime - before.ru_stime, 2)}


if __name__ == "__main__":
    main()
