"""CPU seconds of `bas check FOLDER --no-estimate --json` on 1,500 drawn photos, and of its start alone.

python benchmarks/check.py

The photos are 640 x 480 JPEGs of smooth noise, shapes and grain; the CPU seconds of a photo grow with its bytes.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from record import record_speed

PHOTOS, TAGS, SIZE, QUALITY, GRAIN = 1500, 10, (640, 480), 75, 4.0
REPEATS = 7
PROTOCOL = (
    "user and system seconds of the process of `bas check FOLDER --no-estimate --json`, photos in the page cache; "
    f"min and median of {REPEATS}. start: the same for two photos; photo_ms: the difference of the two minima by photo"
)


def main() -> None:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        photos, two = Path(folder, "photos"), Path(folder, "two")
        kilobytes = [draw(photos / f"tag{number % TAGS}/{number:04}.jpg", number) for number in range(PHOTOS)]
        for number in range(2):
            draw(two / f"tag{number}/{number}.jpg", number)
        check = [cpu_seconds(photos) for _ in range(REPEATS)]
        start = [cpu_seconds(two) for _ in range(REPEATS)]
    metrics = {
        "cpu_s_min": round(min(check), 2),
        "cpu_s_median": round(statistics.median(check), 2),
        "start_cpu_s_min": round(min(start), 2),
        "start_cpu_s_median": round(statistics.median(start), 2),
        "photo_ms": round(1000 * (min(check) - min(start)) / (PHOTOS - 2), 2),
        "photo_kb": round(statistics.mean(kilobytes)),
    }
    record_speed(
        "check",
        data=f"{PHOTOS} drawn JPEGs, {SIZE[0]} x {SIZE[1]}, quality {QUALITY}, grain {GRAIN:g}",
        protocol=PROTOCOL,
        metrics=metrics,
        began=began,
    )
    print(json.dumps(metrics, indent=1))


def draw(file: Path, seed: int) -> float:
    """Write one photo; its size in kB."""
    rng = np.random.default_rng(seed)
    pixels = np.full((SIZE[1], SIZE[0], 3), 128, np.float32)
    for cells, contrast in ((4, 0.5), (16, 0.25), (64, 0.1)):
        noise = Image.fromarray(rng.integers(0, 256, (cells * 3 // 4, cells, 3), np.uint8))
        pixels += contrast * (np.asarray(noise.resize(SIZE, Image.Resampling.BICUBIC), np.float32) - 128)
    pixels += GRAIN * rng.standard_normal(pixels.shape, np.float32)
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    for _ in range(6):
        (x, y), (width, height) = rng.uniform(0, SIZE), rng.uniform(20, 120, 2)
        color = tuple(rng.integers(0, 256, 3).tolist())
        ImageDraw.Draw(image).ellipse((x - width, y - height, x + width, y + height), color)
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file, quality=QUALITY)
    return file.stat().st_size / 1000


def cpu_seconds(folder: Path) -> float:
    """User and system seconds of one check, in a process of its own."""
    command = [Path(sys.executable).with_name("bas"), "check", folder, "--no-estimate", "--json"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with exit code {process.returncode}")
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
