"""No correction in the gallery is lost: between pages, to a full disk, a closed browser or one that is killed; and what
was not found can be corrected, too."""

import os
import shutil
import signal
import subprocess
import time

import pytest
from chromium import BROWSER
from gallery_pages import BOX, SIZE, a_gallery, drag, enlarged, near, saved, status, until
from PIL import Image

from torchbas.data import open_image
from torchbas.localization import CORRECTED, NotFound
from torchbas.viz import write_gallery

pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no Chromium on PATH")]


def without_objects(folder, *missing):
    """A page on which nothing was found, of names and tags, and whether somebody has said that nothing is there."""
    folder.mkdir(exist_ok=True)
    for number, (name, *_) in enumerate(missing):
        Image.new("RGB", SIZE[::-1], (60 * number, 60, 90)).save(folder / name)
    cards = [NotFound(folder / name, name, SIZE, tag, reviewed) for name, tag, reviewed in missing]
    sizes = {one.name: SIZE for one in cards}
    write_gallery([], ("cat", "dog"), sizes, folder / "index.html", open_image=open_image, not_found=cards)
    return (folder / "index.html").as_uri()


def saved_with_the_drawn_box(page, tag):
    """What is saved beside the box that was drawn in a.jpg."""
    found = saved(page)
    ((box, how),) = found.pop(("a.jpg", tag))
    assert near(box, BOX)
    assert how == "drawn"
    return found


def test_what_was_not_found_is_drawn_or_confirmed(page, tmp_path):
    address = without_objects(tmp_path, ("a.jpg", "cat", False), ("b.jpg", "cat", False), ("b.jpg", "dog", False))
    enlarged(page, address)
    drag(page, (20, 30), (120, 130))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    page.keyboard.press("y")
    found = saved_with_the_drawn_box(page, "cat")
    assert found == {("b.jpg", "cat"): [], ("b.jpg", "dog"): []}


def test_a_later_gallery_saves_the_corrections_that_were_given_too(page, tmp_path):
    address = a_gallery(tmp_path / "found", ["a.jpg"], method=CORRECTED)
    page.goto(address)
    assert saved(page) == {("a.jpg", "cat"): [(BOX, "confirmed")]}
    page.goto(without_objects(tmp_path / "none", ("b.jpg", "cat", True), ("c.jpg", "cat", False)))
    assert saved(page) == {("b.jpg", "cat"): []}


def test_two_pages_of_the_same_photos_keep_what_either_corrects(page, tmp_path):
    address = a_gallery(tmp_path)
    page.goto(address)
    other = page.context.new_page()
    other.goto(address)
    page.evaluate("correct(cards[0], [])")
    other.evaluate("correct(cards[1], [])")
    page.evaluate('correct({ photo: 0, tag: 1 }, [{ box: [1, 2, 30, 40], how: "drawn" }])')
    expected = {
        ("a.jpg", "cat"): [],
        ("a.jpg", "dog"): [((1, 2, 30, 40), "drawn")],
        ("b.jpg", "cat"): [],
    }
    assert saved(other) == expected
    assert saved(page) == expected
    other.evaluate("undo()")
    assert {*saved(page)} == {("a.jpg", "cat"), ("a.jpg", "dog")}


def test_a_page_that_gets_the_focus_shows_what_another_has_corrected(page, tmp_path):
    address = a_gallery(tmp_path)
    page.goto(address)
    other = page.context.new_page()
    other.goto(address)
    other.evaluate("recall()")  # which it does when it is opened
    page.evaluate("correct(cards[0], [])")
    until(page, "pending === 0")
    other.evaluate('dispatchEvent(new Event("focus"))')
    status(other, "Save corrections (1)")
    assert other.locator('.card[data-review-state="nothing here"]').count() == 1


def test_photos_of_one_content_are_corrected_together(page, tmp_path):
    a_gallery(tmp_path, ["a.jpg"])
    shutil.copy(tmp_path / "a.jpg", tmp_path / "b.jpg")
    page.goto(a_gallery(tmp_path, ["a.jpg", "b.jpg"]))
    page.locator(".card").first.focus()
    page.keyboard.press("x")
    assert saved(page) == {("a.jpg", "cat"): [], ("b.jpg", "cat"): []}


FORBIDDEN = "indexedDB.open = () => { throw new DOMException('no', 'SecurityError'); };"
FULL = "IDBObjectStore.prototype.put = function () { this.transaction.abort(); };"


@pytest.mark.parametrize("script", [FORBIDDEN, FULL], ids=["forbidden", "full"])
def test_where_a_browser_keeps_nothing_it_says_so_and_asks_before_it_closes(page, tmp_path, script):
    page.add_init_script(script)
    enlarged(page, a_gallery(tmp_path))
    page.keyboard.press("x")
    page.keyboard.press("Escape")
    page.locator("#kept").wait_for(state="visible")
    with page.expect_event("dialog") as asked:
        page.close(run_before_unload=True)
    assert asked.value.type == "beforeunload"
    asked.value.dismiss()
    assert saved(page) == {("a.jpg", "cat"): []}
    page.close(run_before_unload=True)


def test_what_is_corrected_comes_last_and_is_passed_over(page, tmp_path):
    names = lambda: [one.get_attribute("title").split("\n")[1] for one in page.locator(".card").all()]  # noqa: E731
    address = a_gallery(tmp_path)
    page.goto(address)
    first, second, third = names()
    page.locator(".card").nth(1).focus()
    page.keyboard.press("y")
    page.locator(".card").first.focus()
    page.keyboard.press("y")
    focused = page.evaluate("document.activeElement.title")
    assert focused.split("\n")[1] == third
    page.reload()
    status(page, "Save corrections (2)")
    assert names() == [third, first, second]


def killed_browser(playwright, home, address, script):
    """What a script says in a browser that is killed when it has said it."""
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", f"--user-data-dir={home}"]
    port = home / "DevToolsActivePort"
    port.unlink(missing_ok=True)
    with subprocess.Popen(
        [BROWSER, *words, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as started:
        try:
            until = time.monotonic() + 60
            while not (port.exists() and port.read_text().count("\n")) and time.monotonic() < until:
                time.sleep(0.05)
            opened = playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{port.read_text().split()[0]}")
            page = opened.contexts[0].pages[0]
            page.goto(address)
            return page.evaluate(script)
        finally:
            os.killpg(started.pid, signal.SIGKILL)


def test_a_browser_that_is_killed_has_kept_what_was_corrected(playwright, tmp_path):
    address, home = a_gallery(tmp_path), tmp_path / "home"
    home.mkdir()
    correcting = """async () => {
      correct(cards[0], []);
      while (pending) await new Promise((done) => setTimeout(done, 5));
    }"""
    killed_browser(playwright, home, address, correcting)
    assert (
        killed_browser(playwright, home, address, "async () => { await recall(); return saved().images.length; }") == 1
    )


@pytest.mark.parametrize("count", [0, 1])
def test_a_page_of_nothing_and_of_one_card_goes_by_keyboard(page, tmp_path, count):
    page.goto(a_gallery(tmp_path, ["a.jpg"][:count]))
    for key in ("ArrowDown", "Enter", "y", "x", "n", "z", "ArrowRight", "s", "Escape"):
        page.keyboard.press(key)
    status(page, "Save corrections (1)" if count else "Save corrections")


def test_a_photo_whose_tags_nobody_knows_gets_a_box_of_any_or_has_none(page, tmp_path):
    address = without_objects(tmp_path, ("a.jpg", "", False), ("b.jpg", "", False), ("c.jpg", "", False))
    enlarged(page, address)
    assert page.locator("#viewer-title").inner_text() == "No tag known"
    page.locator("#tag").select_option("1")
    drag(page, (20, 30), (120, 130))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("n")
    page.locator("#tag").select_option("1")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    found = saved_with_the_drawn_box(page, "dog")
    assert [how for _, how in found.pop(("b.jpg", "dog"))] == ["drawn"]
    assert found == {("c.jpg", "cat"): [], ("c.jpg", "dog"): []}
    page.reload()
    status(page, "Save corrections (3)")
    texts = '[...document.querySelectorAll(".card .tag span")].map((one) => one.textContent)'
    until(page, f'{texts}.filter((text) => text === "dog").length === 2')
