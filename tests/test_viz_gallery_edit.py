"""Boxes corrected in the gallery, by mouse and by keyboard in a real browser, and what is saved of them."""

import json
import shutil
import zlib

import numpy as np
import pytest
from chromium import BROWSER
from findings import boxed
from markup import PAYLOADS
from PIL import Image

from torchbas.data import open_image
from torchbas.viz import write_gallery

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no Chromium on PATH")]
SIZE = (150, 200)
BOX = (20.0, 30.0, 120.0, 130.0)


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    opened, errors = context.new_page(), []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    context.close()
    assert not errors


def a_gallery(folder, names=("a.jpg", "b.jpg", "c.jpg"), tags=("cat", "dog"), boxes=(BOX,)):
    """A page of photos with some boxes of the first tag each, in the order of the names."""
    folder.mkdir(exist_ok=True)
    found = []
    for number, name in enumerate(names):
        if not (folder / name).exists():
            Image.new("RGB", SIZE[::-1], (zlib.crc32(name.encode()) % 256, 60, 90)).save(folder / name)
        grid = np.full((4, 4), 0.6, np.float32)
        grid[: number + 1] = 0.9  # so that the scores rise
        found += [boxed(name, tags[0], box, SIZE, image=folder / name, grid=grid) for box in boxes]
    write_gallery(found, tags, dict.fromkeys(names, SIZE), folder / "index.html", open_image=open_image)
    return (folder / "index.html").as_uri()


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


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (((70, 80), (90, 60)), (40, 10, 140, 110)),
        (((20, 80), (50, 80)), (50, 30, 120, 130)),
        (((120, 130), (180, 140)), (20, 30, 180, 140)),
        (((70, 30), (70, 10)), (20, 10, 120, 130)),
        (((70, 80), (400, 400)), (100, 50, 200, 150)),
        (((20, 80), (160, 80)), (120, 30, 160, 130)),
    ],
    ids=["move", "left edge", "corner", "top edge", "not out of the photo", "an edge beyond the other"],
)
def test_a_box_follows_the_mouse(page, tmp_path, points, expected):
    enlarged(page, a_gallery(tmp_path))
    drag(page, *points)
    ((box, how),) = saved(page)["a.jpg", "cat"]
    assert near(box, expected), box
    assert how == "moved"


def test_a_box_is_drawn_where_none_is_and_a_click_draws_none(page, tmp_path):
    enlarged(page, a_gallery(tmp_path))
    drag(page, (150, 20), (190, 100))
    drag(page, (10, 140), (10, 140))
    first, second = saved(page)["a.jpg", "cat"]
    assert first == (BOX, "confirmed")
    assert near(second[0], (150, 20, 190, 100))
    assert second[1] == "drawn"


def test_all_of_it_by_keyboard(page, tmp_path):
    page.goto(a_gallery(tmp_path))
    page.locator(".card").first.focus()
    page.keyboard.press("y")
    page.keyboard.press("x")
    page.keyboard.press("Enter")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Control+ArrowUp")
    page.keyboard.press("n")
    assert saved(page) == {
        ("a.jpg", "cat"): [(BOX, "confirmed")],
        ("b.jpg", "cat"): [],
        ("c.jpg", "cat"): [((22, 30, 122, 128), "moved"), ((50, 38, 150, 113), "drawn")],
    }
    page.keyboard.press("o")
    page.keyboard.press("Delete")
    page.keyboard.press("g")
    page.keyboard.press("d")
    page.keyboard.press("Enter")
    assert saved(page)["c.jpg", "dog"] == [((50, 38, 150, 113), "drawn")]
    assert saved(page)["c.jpg", "cat"] == []


def test_undo_goes_back_to_the_beginning(page, tmp_path):
    enlarged(page, a_gallery(tmp_path))
    drag(page, (70, 80), (90, 60))
    page.keyboard.press("Delete")
    page.keyboard.press("Control+z")
    ((box, _),) = saved(page)["a.jpg", "cat"]
    assert near(box, (40, 10, 140, 110))
    page.keyboard.press("z")
    assert page.locator("#save").is_disabled()
    page.keyboard.press("z")


def test_nothing_is_lost_by_a_reload_a_later_gallery_or_another_name(page, tmp_path):
    address = a_gallery(tmp_path / "one")
    enlarged(page, address)
    drag(page, (70, 80), (90, 60))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    before = saved(page)
    page.reload()
    assert page.locator("#save").inner_text() == "Save corrections (2)"
    assert saved(page) == before
    (tmp_path / "two").mkdir()
    shutil.copy(tmp_path / "one/a.jpg", tmp_path / "two/renamed.jpg")
    page.goto(a_gallery(tmp_path / "two", ("renamed.jpg", "new.jpg"), boxes=[(1.0, 1.0, 9.0, 9.0)]))
    assert saved(page) == {("renamed.jpg", "cat"): before["a.jpg", "cat"]}


def test_zoomed_in_a_box_is_drawn_where_the_mouse_is(page, tmp_path):
    enlarged(page, a_gallery(tmp_path))
    drag(page, (160, 100), (160, 100))
    for _ in range(4):
        page.mouse.wheel(0, -100)
    drag(page, (150, 90), (170, 110))
    assert near(saved(page)["a.jpg", "cat"][1][0], (150, 90, 170, 110), within=1)
    page.keyboard.press("0")
    assert page.evaluate('document.querySelector("dialog .stage svg").getAttribute("viewBox")') == "0 0 200 150"


def test_several_boxes_of_a_tag_are_corrected_together(page, tmp_path):
    boxes = ((10.0, 10.0, 60.0, 60.0), (100.0, 80.0, 150.0, 140.0))
    enlarged(page, a_gallery(tmp_path, names=["a.jpg"], boxes=boxes))
    drag(page, (125, 110), (135, 110))
    first, second = saved(page)["a.jpg", "cat"]
    assert first == (boxes[0], "confirmed")
    assert near(second[0], (110, 80, 160, 140))
    assert page.locator('.card[data-review-state="corrected"]').count() == 2


def test_what_another_page_has_left_is_data(page, tmp_path):
    """Pages from files share what a browser keeps."""
    address = a_gallery(tmp_path)
    page.goto(address)
    key = page.evaluate('"torchbas corrections " + data.photos[0].sha256')
    good = '[["cat",[{"box":[1,2,30,40],"how":"drawn"},{"box":[1,2,3000,40],"how":"drawn"},{"box":"x","how":"drawn"}]]]'
    for text, expected in (
        (good, {("a.jpg", "cat"): [((1, 2, 30, 40), "drawn")]}),
        ("<img src=x>", None),
        ('[["cat",3]]', None),
        ("7", None),
    ):
        page.evaluate("([key, text]) => localStorage.setItem(key, text)", [key, text])
        page.reload()
        if expected:
            assert saved(page) == expected
        else:
            assert page.locator("#save").is_disabled()


def test_tags_that_would_be_code_are_saved_as_text(page, tmp_path):
    enlarged(page, a_gallery(tmp_path, names=["a.jpg"], tags=PAYLOADS))
    for number in range(1, len(PAYLOADS)):
        page.keyboard.press("n")
        page.locator("#tag").select_option(str(number))
    found = saved(page)
    assert {tag for _, tag in found} == {*PAYLOADS}
    page.reload()
    assert saved(page) == found
    assert page.title() == "What torchbas found"
