"""The gallery of many photos: seconds to write it, its size, and how long a browser takes until it has painted it.

python benchmarks/gallery.py 600 20000

The photos are drawn, one object in each. Chromium must be on PATH.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask
from record import record

from torchbas.data import make_demo_dataset, open_image
from torchbas.localization import Localization
from torchbas.viz.gallery import write_gallery

KINDS = 24
"""Photos that are drawn; more are these again under other names."""
REPEATS = 5
PROTOCOL = (
    "paint_s: seconds of `chromium --headless --screenshot` of the page at 1280 x 900 less those of an empty page, "
    f"median of {REPEATS}; write_s: CPU seconds of writing it; page_mb, pictures_mb: the page, the pictures beside it"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("objects", nargs="+", type=int)
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("no Chromium on PATH")
    for count in parser.parse_args().objects:
        measure(count, browser)


def measure(count: int, browser: str) -> None:
    """Write and paint one gallery."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        found = drawn(count, place / "photos")
        page, blank = place / "index.html", place / "blank.html"
        blank.write_text("<!DOCTYPE html><title>blank</title>")
        cpu = time.process_time()
        sizes = {one.name: one.size for one in found}
        write_gallery(found, ("thing",), sizes, page, open_image=open_image, pictures=place / "gallery")
        cpu = time.process_time() - cpu
        pictures = sum(file.stat().st_size for file in place.glob("gallery/*"))
        empty, painted = (painting(browser, one) for one in (blank, page))
        metrics = {
            "write_s": round(cpu, 1),
            "page_mb": round(page.stat().st_size / 1e6, 1),
            "pictures_mb": round(pictures / 1e6, 1),
            "paint_s": round(painted - empty, 2),
            "empty_page_s": round(empty, 2),
        }
    record(
        "speed",
        f"gallery_{count}",
        data=f"{count} objects in as many drawn photos",
        recipe=None,
        protocol=PROTOCOL,
        split=None,
        threshold=None,
        metrics=metrics,
        seed=0,
        seconds=round(time.monotonic() - began),
    )
    print(count, json.dumps(metrics))


def drawn(count: int, folder: Path) -> list[Localization]:
    """One object in each of so many photos."""
    make_demo_dataset(folder, KINDS // 6, 1, 320)
    photos, rng = sorted(folder.rglob("*.jpg"))[:KINDS], np.random.default_rng(0)
    mask = np.zeros((320, 320), np.uint8, order="F")
    mask[80:240, 60:250] = 1
    rle = dict(coco_mask.encode(mask))
    grids = rng.random((KINDS, 28, 28), np.float32)
    return [
        Localization(
            image=photos[number % len(photos)],
            name=f"thing/{number:06}.jpg",
            size=(320, 320),
            label="thing",
            xyxy=(60.0, 80.0, 250.0, 240.0),
            rle=rle,
            grid=grids[number % KINDS],
            confidence=0.9,
            bas_ratio=0.5,
            threshold=0.4,
        )
        for number in range(count)
    ]


def painting(browser: str, page: Path) -> float:
    """Median seconds until the browser has painted a page and ended."""
    seconds = []
    for _ in range(REPEATS):
        began = time.monotonic()
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1280,900", f"--screenshot={page}.png"]
        words = [browser, *flags, f"--user-data-dir={page.parent}/home", page.as_uri()]
        subprocess.run(words, capture_output=True, check=True, timeout=300)
        seconds.append(time.monotonic() - began)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
