"""Boxes corrected in the gallery, by mouse and by keyboard in a real browser, and what is saved of them."""

import shutil

import pytest
from chromium import BROWSER
from gallery_pages import BOX, a_gallery, drag, enlarged, near, saved, status
from markup import PAYLOADS

pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no Chromium on PATH")]


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
    status(page, "Save corrections (2)")
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


LEFT = """async (value) => {
  await transact("readwrite", (store) => store.put(value, photos[0].sha256));
}"""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            [
                ["cat", [{"box": box, "how": "drawn"} for box in ([1, 2, 30, 40], [1, 2, 3000, 40], "x")]],
                ["lynx", [{"box": [1, 2, 30, 40], "how": "drawn"}]],
            ],
            {("a.jpg", "cat"): [((1, 2, 30, 40), "drawn")]},
        ),
        ("<img src=x>", {}),
        ([["cat", 3]], {}),
        (7, {}),
        (None, {}),
    ],
    ids=["boxes outside, a tag of other photos", "text", "no boxes", "number", "null"],
)
def test_what_another_page_has_left_is_data(page, tmp_path, value, expected):
    """Pages from files share what a browser keeps."""
    page.goto(a_gallery(tmp_path))
    page.evaluate(LEFT, value)
    page.reload()
    if expected:
        status(page, "Save corrections (1)")
        assert saved(page) == expected
    else:
        page.evaluate("recall()")
        assert page.locator("#save").is_disabled()
    page.evaluate("correct(cards[0], [])")
    assert saved(page) == {("a.jpg", "cat"): []}


def test_tags_that_would_be_code_are_saved_as_text(page, tmp_path):
    enlarged(page, a_gallery(tmp_path, names=["a.jpg"], tags=PAYLOADS))
    for number in range(1, len(PAYLOADS)):
        page.keyboard.press("n")
        page.locator("#tag").select_option(str(number))
    found = saved(page)
    assert {tag for _, tag in found} == {*PAYLOADS}
    page.reload()
    status(page, "Save corrections (1)")
    assert saved(page) == found
    assert page.title() == "What torchbas found"
