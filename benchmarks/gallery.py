"""The gallery of many photos: seconds to write it, its size, and how long a browser takes to show it and to answer.

python benchmarks/gallery.py 600 5000 20000

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
from chromium import BROWSER
from playwright.sync_api import Browser, sync_playwright
from pycocotools import mask as coco_mask
from record import record_speed

from torchbas.data import make_demo_dataset, open_image
from torchbas.localization import Localization
from torchbas.viz.gallery import write_gallery

KINDS = 24
"""Photos that are drawn; more are these again under other names."""
REPEATS, TURNS = 5, 60
PROTOCOL = (
    "write_s: CPU seconds of writing it; page_mb, pictures_mb: the page, the pictures beside it; milliseconds to the "
    "frame that shows it: paint_ms: the first cards, from the address; filter_ms, order_ms, jump_ms, open_ms, next_ms, "
    "correct_ms: a word in the search, another order, a scroll to the end, a photo enlarged, the next one, 'nothing "
    f"here'; scroll_ms: longest frame while the wheel turns {TURNS} times; in a window of 1280 x 900, medians of "
    f"{REPEATS}"
)
ACTIONS = {
    "filter_ms": "search.value = search.value ? '' : '00'; search.dispatchEvent(new Event('input'))",
    "order_ms": "order.selectedIndex += 1; order.dispatchEvent(new Event('change'))",
    "jump_ms": "window.scrollTo(0, document.body.scrollHeight)",
    "open_ms": "viewer.close(); enlarge(0)",
    "next_ms": "enlarge(current + 1)",
    "correct_ms": "correct(shown[0], [])",
}
TIMED = """async () => {
  const began = performance.now();
  %s;
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return performance.now() - began;
}"""
FRAMES = """() => {
  window.longest = 0;
  let last = performance.now();
  const frame = (now) => { longest = Math.max(longest, now - last); last = now; requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
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
        page = place / "index.html"
        cpu = time.process_time()
        sizes = {one.name: one.size for one in found}
        write_gallery(found, ("thing",), sizes, page, open_image=open_image, pictures=place / "gallery")
        cpu = time.process_time() - cpu
        pictures = sum(file.stat().st_size for file in place.glob("gallery/*"))
        metrics = {
            "write_s": round(cpu, 1),
            "page_mb": round(page.stat().st_size / 1e6, 1),
            "pictures_mb": round(pictures / 1e6, 1),
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


def handling(page: Path) -> dict[str, float]:
    """Median milliseconds of showing the page and of each action."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        took = [{**shown(browser, page), **scrolled(browser, page)} for _ in range(REPEATS)]
        browser.close()
    return {name: round(statistics.median(one[name] for one in took)) for name in took[0]}


def shown(browser: Browser, page: Path) -> dict[str, float]:
    """Milliseconds until it is painted, and of each action in it."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    began = time.monotonic()
    opened.goto(page.as_uri())
    opened.evaluate(TIMED % "")
    took = {"paint_ms": 1000 * (time.monotonic() - began)}
    took |= {name: opened.evaluate(TIMED % act) for name, act in ACTIONS.items()}
    opened.close()
    return took


def scrolled(browser: Browser, page: Path) -> dict[str, float]:
    """Milliseconds of the longest frame while the wheel turns."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.goto(page.as_uri())
    opened.mouse.move(600, 600)
    opened.evaluate(FRAMES)
    for _ in range(TURNS):
        opened.mouse.wheel(0, 240)
        opened.wait_for_timeout(16)
    took = opened.evaluate("longest")
    opened.close()
    return {"scroll_ms": took}


if __name__ == "__main__":
    main()
