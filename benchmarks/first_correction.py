"""From a folder of photos to the first corrected box in a file, as a script drives it: how long a user waits for what.

python benchmarks/first_correction.py [NAME]

One `bas label` of a folder of benchmarks/folders.py (cub25: 750 photos of 25 species), then its index.html in Chromium,
where the first box is moved by mouse and saved. Into results/speed/first_correction.json; runs/first_correction keeps
the page.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chromium import BROWSER
from folders import CELLS
from playwright.sync_api import Page, sync_playwright
from record import data_folder, record_speed

from torchbas import data
from torchbas.cli import main as bas

OUT = Path("runs/first_correction")
PROTOCOL = (
    "seconds of wall clock; label: `bas label` until the drafts stand, of which check, features, training, localizing "
    "and writing; paint: from the address of the page to the frame that shows its first cards; open: from a click to "
    "the frame that shows the photo enlarged; move: from the end of a drag to the frame that shows the box there; "
    "save: from the key S to the whole file"
)
STAGES = {
    "check": "checking photos",
    "features": "computing features",
    "training": "training",
    "localizing": "localizing",
    "writing": "writing",
}
FRAME = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
DRAG = """() => {
  const [x0, y0, x1, y1] = boxesOf(shown[current])[0].box;
  const m = document.querySelector("dialog .stage svg").getScreenCTM();
  return [[x0, y0], [x0 + (x1 - x0) / 8, y0 + (y1 - y0) / 8]].map(([x, y]) => [m.a * x + m.e, m.d * y + m.f]);
}"""
"""From a corner of the first box into it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", choices=CELLS, default="cub25", metavar="NAME")
    name = parser.parse_args().name
    if BROWSER is None:
        sys.exit("no Chromium on PATH")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        photos, file = Path(place, "photos"), Path(place, "corrections.json")
        photos.mkdir()
        CELLS[name](photos, 0)
        metrics = {**labeled(photos), **corrected(file)}
        dataset = data.read(photos)
        boxes = data.read_corrections([file], dataset).boxes
        assert sum(map(len, boxes.values())) == 1, "the file does not hold the one corrected box"
    record_speed(
        "first_correction",
        data=f"{name}, {len(dataset.samples)} photos with {len(dataset.classes)} tags",
        protocol=PROTOCOL,
        metrics=metrics,
        began=began,
    )
    print(json.dumps(metrics))


def labeled(photos: Path) -> dict[str, float]:
    """Seconds of `bas label` and of its stages."""
    weights = data_folder() / "weights/mobilenetv1_imagenet_fp16.pth"
    began = time.monotonic()
    if bas(["label", str(photos), "--out", str(OUT), "--weights", str(weights), "--overwrite", "--quiet"]):
        raise SystemExit(1)
    took = round(time.monotonic() - began, 1)
    stages = json.loads((OUT / "run.json").read_text())["seconds"]
    return {"label": took, **{name: stages[stage] for name, stage in STAGES.items()}}


def corrected(file: Path) -> dict[str, float]:
    """Seconds that a user waits while the first box is corrected; what is saved goes into ``file``."""
    took = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        with timed(page, took, "paint"):
            page.goto((OUT / "index.html").resolve().as_uri())
        with timed(page, took, "open"):
            page.locator(".card").filter(has_not_text="Nothing found").first.click()
        start, end = page.evaluate(DRAG)
        page.mouse.move(*start)
        page.mouse.down()
        page.mouse.move(*end, steps=8)
        with timed(page, took, "move"):
            page.mouse.up()
        with timed(page, took, "save"), page.expect_download() as download:
            page.keyboard.press("s")
            download.value.save_as(file)
        browser.close()
    return took


@contextmanager
def timed(page: Page, took: dict[str, float], name: str) -> Iterator[None]:
    """Seconds until a frame shows what was done."""
    began = time.monotonic()
    yield
    page.evaluate(FRAME)
    took[name] = round(time.monotonic() - began, 2)


if __name__ == "__main__":
    main()
