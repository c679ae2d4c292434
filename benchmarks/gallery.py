"""The gallery of many photos: seconds to write it, its size, and how long a browser takes until it has painted it.

python benchmarks/gallery.py 600 20000

The photos are drawn, one object in each. Chromium must be on PATH.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from chromium import BROWSER, opened
from playwright.sync_api import sync_playwright
from pycocotools import mask as coco_mask
from record import record_speed

from torchbas.data import make_demo_dataset, open_image
from torchbas.localization import Localization
from torchbas.viz.gallery import write_gallery

KINDS = 24
"""Photos that are drawn; more are these again under other names."""
REPEATS = 5
PROTOCOL = (
    "paint_s: seconds of `chromium --headless --screenshot` of the page at 1280 x 900 less those of an empty page, "
    f"median of {REPEATS}; write_s: CPU seconds of writing it; page_mb, pictures_mb: the page, the pictures beside it; "
    "filter_ms, scroll_ms, correct_ms: from a word in the search, a scroll to the end or 'nothing here' to the frame "
    "that shows it, median likewise"
)
ACTIONS = {
    "filter_ms": "search.value = search.value ? '' : '00'; search.dispatchEvent(new Event('input'))",
    "scroll_ms": "window.scrollTo(0, document.body.scrollHeight)",
    "correct_ms": "correct(shown[0], [])",
}
TIMED = """async () => {
  const began = performance.now();
  %s;
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return performance.now() - began;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("objects", nargs="+", type=int)
    if BROWSER is None:
        sys.exit("no Chromium on PATH")
    for count in parser.parse_args().objects:
        measure(count)


def measure(count: int) -> None:
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
        empty, painted = (painting(one) for one in (blank, page))
        metrics = {
            "write_s": round(cpu, 1),
            "page_mb": round(page.stat().st_size / 1e6, 1),
            "pictures_mb": round(pictures / 1e6, 1),
            "paint_s": round(painted - empty, 2),
            "empty_page_s": round(empty, 2),
            **handling(page),
        }
    record_speed(
        f"gallery_{count}",
        data=f"{count} objects in as many drawn photos",
        protocol=PROTOCOL,
        metrics=metrics,
        began=began,
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


def painting(page: Path) -> float:
    """Median seconds until the browser has painted a page and ended."""
    seconds = []
    for _ in range(REPEATS):
        began = time.monotonic()
        opened(page, "--window-size=1280,900", f"--screenshot={page}.png")
        seconds.append(time.monotonic() - began)
    return statistics.median(seconds)


def handling(page: Path) -> dict[str, float]:
    """Median milliseconds from each action to the frame that shows it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1280, "height": 900})
        shown.goto(page.as_uri())
        shown.wait_for_selector(".card")
        took = {name: [shown.evaluate(TIMED % act) for _ in range(REPEATS)] for name, act in ACTIONS.items()}
        browser.close()
    return {name: round(statistics.median(times)) for name, times in took.items()}


if __name__ == "__main__":
    main()
