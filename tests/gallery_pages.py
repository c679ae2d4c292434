"""Galleries of one-colored photos in a browser: boxes are drawn by mouse, and what is saved is read."""

import json
import time
import zlib

import numpy as np
from findings import boxed
from PIL import Image

from torchbas.data import open_image
from torchbas.viz import write_gallery

SIZE = (150, 200)
BOX = (20.0, 30.0, 120.0, 130.0)


def a_gallery(folder, names=("a.jpg", "b.jpg", "c.jpg"), tags=("cat", "dog"), boxes=(BOX,), **changes):
    """A page of photos with some boxes of the first tag each, in the order of the names."""
    folder.mkdir(exist_ok=True)
    found = []
    for number, name in enumerate(names):
        if not (folder / name).exists():
            Image.new("RGB", SIZE[::-1], (zlib.crc32(name.encode()) % 256, 60, 90)).save(folder / name)
        grid = np.full((4, 4), 0.6, np.float32)
        grid[: number + 1] = 0.9  # so that the scores rise
        found += [boxed(name, tags[0], box, SIZE, image=folder / name, grid=grid, **changes) for box in boxes]
    write_gallery(found, tags, dict.fromkeys(names, SIZE), folder / "index.html", open_image=open_image)
    return (folder / "index.html").as_uri()


def status(page, text):
    """Waits until the button for saving says so much."""
    until(page, "text => document.getElementById('save').textContent === text", text)


def until(page, condition, arg=None, seconds=30):
    """Waits until JavaScript is true, also of a page in the background, which draws no frames to wait for."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition, arg):
        assert time.monotonic() < end, (condition, arg)
        time.sleep(0.05)


def enlarged(page, address, card=0):
    page.goto(address)
    page.locator(".card").nth(card).click()


def drag(page, *points, steps=4):
    """From the first to the last of points in pixels of the photo."""
    places = page.evaluate(
        """points => { const m = document.querySelector("dialog .stage svg").getScreenCTM();
        return points.map(([x, y]) => [m.a * x + m.e, m.d * y + m.f]); }""",
        [list(point) for point in points],
    )
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=steps)
    page.mouse.up()


def saved(page, by="s"):
    """What is downloaded: boxes and how they came about, by photo and tag."""
    with page.expect_download() as download:
        page.keyboard.press(by)
    assert download.value.suggested_filename == "corrections.json"
    content = json.loads(download.value.path().read_text("utf-8"))
    tags = {one["id"]: one["name"] for one in content["categories"]}
    names = {one["id"]: one["file_name"] for one in content["images"]}
    found = {(one["file_name"], tag): [] for one in content["images"] for tag in one["reviewed"]}
    for one in content["annotations"]:
        x, y, width, height = one["bbox"]
        box = (x, y, x + width, y + height)
        found[names[one["image_id"]], tags[one["category_id"]]].append((box, one["attributes"]["corrected"]))
    return found


def near(box, expected, within=2):
    return all(abs(a - b) <= within for a, b in zip(box, expected, strict=True))
