"""Drawings show the detections, gallery pages carry no markup of the user."""

import base64
import hashlib
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from findings import boxed
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask

from torchbas.errors import InputError
from torchbas.localization import Localization, TagReport
from torchbas.structures import Problem
from torchbas.viz import draw, write_gallery
from torchbas.viz.overlay import class_colors, heat_layer, outlines

EVIL = 'a/b "c" <script>alert(1)</script> 🦓 </script><!-- \n\r\u2028 \udcff'


def detection(name="a.jpg", label="cat", box=(10.0, 20.0, 60.0, 50.0), size=(80, 100), **changes) -> Localization:
    grid = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    return boxed(name, label, box, size, **{"grid": grid, "confidence": 0.9, "bas_ratio": 0.2, **changes})


def gray(*_) -> Image.Image:
    return Image.new("RGB", (100, 80), (128, 128, 128))


def at(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    return tuple(np.asarray(image)[y, x].tolist())


def test_a_box_is_drawn_on_its_outermost_pixels_in_the_color_of_its_class():
    picture, color = draw(gray(), [detection()], mask=False), class_colors(["cat"])["cat"]
    assert at(picture, 10, 20) == at(picture, 59, 49) == at(picture, 35, 49) == color
    assert at(picture, 9, 35) == at(picture, 60, 35) == at(picture, 35, 50) == at(picture, 35, 40) == (128, 128, 128)


def test_a_smaller_picture_gets_a_smaller_box():
    picture, color = draw(gray().resize((50, 40)), [detection()], mask=False), class_colors(["cat"])["cat"]
    assert at(picture, 29, 24) == at(picture, 5, 24) == color
    assert at(picture, 30, 24) == (128, 128, 128)


def test_layers_are_drawn_only_when_asked_for_and_the_photo_is_left_alone():
    photo = gray()
    nothing = {"heat": False, "mask": False, "box": False, "ground_truth": False}
    detections = [detection(ground_truth=((5.0, 5.0, 95.0, 75.0),))]
    assert draw(photo, detections, **nothing).tobytes() == photo.tobytes()
    for layer in nothing:
        assert draw(photo, detections, **nothing | {layer: True}).tobytes() != photo.tobytes()
    assert draw(photo, []).tobytes() == photo.tobytes() == gray().tobytes()


def test_true_boxes_are_dashed_in_black_and_white():
    picture = draw(gray(), [detection(ground_truth=((5.0, 5.0, 95.0, 75.0),))], mask=False, box=False)
    edge = {at(picture, x, 5) for x in range(5, 95)}
    assert edge == {(0, 0, 0), (255, 255, 255)}
    assert at(picture, 5, 5) == at(picture, 94, 74) == (255, 255, 255)


def test_a_mask_is_filled_unless_heat_shows_what_is_below():
    color = np.array(class_colors(["cat"])["cat"])
    filled = draw(gray(), [detection()], box=False)
    assert np.allclose(at(filled, 35, 35), 128 * 0.7 + color * 0.3, atol=1)
    assert at(filled, 90, 70) == (128, 128, 128)
    both, heat = (draw(gray(), [detection()], box=False, heat=True, mask=mask) for mask in (True, False))
    assert at(both, 35, 35) == at(heat, 35, 35)


def test_colors_depend_on_the_class_list_not_on_the_photo():
    classes = ("cat", "dog", "cow")
    alone = draw(gray(), [detection(label="dog")], classes=classes, mask=False)
    assert at(alone, 10, 40) == class_colors(classes)["dog"] != class_colors(["dog"])["dog"]


@pytest.mark.parametrize("label", [EVIL, "", "x" * 300, "猫", "two\nlines"])
def test_any_tag_can_be_written(label):
    assert draw(gray(), [detection(label=label)]).size == (100, 80)


def test_class_colors_carry_black_text_and_differ():
    colors = np.array([*class_colors([str(n) for n in range(40)]).values()]) / 255
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    contrast_to_black = (linear @ [0.2126, 0.7152, 0.0722] + 0.05) / 0.05  # WCAG 2
    assert contrast_to_black.min() > 7
    apart = np.abs(colors[:, None] - colors).sum(-1) + np.eye(40)
    assert apart[:20, :20].min() > 0.08
    assert apart.min() > 0.02


def test_higher_heat_is_brighter_and_more_opaque():
    (layer,) = heat_layer(np.linspace(-0.5, 1.5, 300)[None])
    brightness = layer[:, :3].astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(brightness) >= -1).all()
    assert (np.diff(layer[:, 3].astype(int)) >= 0).all()
    assert layer[0, :3].tolist() == layer[74, :3].tolist()


def test_a_hole_has_its_own_outline():
    ring = np.zeros((9, 9), bool)
    ring[1:8, 1:8] = True
    ring[3:6, 3:6] = False
    assert len(outlines(ring)) == 2


class Page(HTMLParser):
    """A page as a browser reads it: the elements, and the text outside and inside of scripts."""

    def __init__(self, path: Path):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.feed(path.read_bytes().decode("utf-8"))
        self.close()
        self.data = json.loads(self.scripts[0])

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        inside = self.elements[-1][0] if self.elements else ""
        (self.scripts if inside == "script" and data.strip() and len(self.scripts) < 2 else self.texts).append(data)


def gallery(folder, detections, classes=("cat", "dog"), sizes=None, open_image=gray, **options) -> Page:
    sizes = sizes if sizes is not None else {one.name: one.size for one in detections}
    write_gallery(detections, classes, sizes, folder / "index.html", open_image=open_image, **options)
    return Page(folder / "index.html")


def test_cards_come_least_certain_first(tmp_path):
    sure, soft, unsure = (np.array([row, [0.1, 0.1]], np.float32) for row in ([0.9, 0.9], [0.9, 0.6], [0.6, 0.6]))
    last = detection("a.jpg", grid=sure, threshold=0.5)
    first = detection("b.jpg", "dog", grid=unsure, threshold=0.5)
    second = detection("c.jpg", grid=soft, threshold=0.5)
    page = gallery(tmp_path, [last, first, second])
    assert [page.data["photos"][card["photo"]]["name"] for card in page.data["cards"]] == ["b.jpg", "c.jpg", "a.jpg"]
    assert [page.data["classes"][card["tag"]]["name"] for card in page.data["cards"]] == ["dog", "cat", "cat"]


def test_a_card_has_the_numbers_boxes_and_maps_of_its_detection(tmp_path):
    cam = np.eye(3, dtype=np.float32)
    one = detection(ground_truth=((0.0, 0.0, 1.0, 1.0), (10.0, 20.0, 60.0, 80.0)))
    page = gallery(tmp_path, [one, detection("b.jpg")], maps_cam={("a.jpg", "cat"): cam})
    card, other = sorted(page.data["cards"], key=lambda card: card["photo"])
    assert (card["confidence"], card["bas_ratio"], card["threshold"]) == (0.9, 0.2, 0.5)
    assert card["box"] == [10, 20, 60, 50]
    assert card["iou"] == 0.5  # 30 of 60 rows
    assert (other["iou"], page.data["maps"][other["maps"]]["cam"], other["ground_truth"]) == (None, None, [])
    for layer, grid in (("bas", one.grid), ("cam", cam)):
        source = page.data["maps"][card["maps"]][layer].removeprefix("data:image/png;base64,")
        heat = Image.open(io.BytesIO(base64.b64decode(source))).convert("RGBA")
        np.testing.assert_array_equal(np.asarray(heat), heat_layer(grid))
    assert page.data["scale"][::16] == ["#000004", "#fcffa4"]  # the ends of inferno


def test_the_outline_on_a_card_has_the_pixels_of_the_mask(tmp_path):
    y, x = np.mgrid[:400, :500]
    ring = np.hypot(x - 200, y - 180)
    mask = np.asfortranarray((ring < 150) & (ring > 60))
    one = detection(size=(400, 500), rle=dict(coco_mask.encode(mask.astype(np.uint8))))
    (card,) = gallery(tmp_path, [one]).data["cards"]
    borders = [np.array(re.findall(r"\d+", part), int).reshape(-1, 2) for part in card["mask"].split("M")[1:]]
    drawn = cv2.fillPoly(np.zeros((400, 500), np.uint8), borders, [1]).astype(bool)  # even-odd, as on the page
    assert len(borders) == 2
    assert (drawn & mask).sum() / (drawn | mask).sum() > 0.98
    assert len(card["mask"]) < 1000


def test_a_photo_is_embedded_once_and_small(tmp_path):
    photo = Image.effect_noise((1500, 1000), 40).resize((3000, 2000)).convert("RGB")
    detections = [detection(size=(2000, 3000)), detection(label="dog", size=(2000, 3000))]
    few = gallery(tmp_path, detections, open_image=lambda *_: photo)
    many = gallery(
        tmp_path, detections + [detection(f"{n}.jpg") for n in range(200)], open_image=lambda *_: photo.reduce(8)
    )
    for page, side in ((few, 640), (many, 320)):
        source = page.data["photos"][0]["src"]
        assert source.startswith("data:image/jpeg;base64,")
        assert Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))).size == (side, round(side * 2 / 3))
    assert len(few.data["photos"]) == 1
    assert (tmp_path / "index.html").stat().st_size / 200 < 40_000  # 1,000 cards in 40 MB


def test_a_photo_that_cannot_be_opened_shows_the_error(tmp_path):
    def fail(path, _):
        raise InputError(f"{path} is gone. Put it back.")

    (photo,) = gallery(tmp_path, [detection()], open_image=fail).data["photos"]
    assert photo["problem"] == "a.jpg is gone. Put it back."
    assert "src" not in photo


def test_the_head_has_counts_problems_and_facts(tmp_path):
    sizes = {"a.jpg": (80, 100), "lonely.jpg": (5, 5)}
    detections = [detection(ground_truth=((10.0, 20.0, 60.0, 50.0),)), detection(ground_truth=((0.0, 0.0, 5.0, 5.0),))]
    problems = [Problem("broken.jpg", "is empty (0 bytes).")]
    page = gallery(tmp_path, detections, sizes=sizes, problems=problems, facts={"Model": "quick"}, title="Pets")
    text = " ".join(page.texts)
    for expected in (
        "Pets",
        "Photos 2",
        "Tags 2",
        "Objects 2",
        "1 of 2 with a true box",
        "Skipped files (1)",
        "Model quick",
    ):
        assert expected in text
    for expected in ("broken.jpg  is empty (0 bytes).", "Photos without a finding (1)", "lonely.jpg"):
        assert expected in text


def test_the_head_says_of_every_tag_whether_its_maps_can_be_used(tmp_path):
    alive = TagReport("cat", photos=4, found=3, area=0.25, evidence_left=0.125, known=1.0, nothing_found=("n.jpg",))
    full = replace(alive, tag="dog", found=4, area=0.994, nothing_found=())
    sizes = {"a.jpg": (80, 100), "n.jpg": (5, 5), "background.jpg": (5, 5)}
    page = gallery(tmp_path, [detection()], sizes=sizes, reports=[alive, full])
    text = " ".join(page.texts)
    rows = text.split("dog", 1)[1].split("cat", 1)  # what cannot be used comes first
    assert rows[0].split()[:5] == ["4", "4", "full", "0.99", "0.12"]
    assert 'tag "dog": its maps are the whole photo' in text
    assert rows[1].split()[:5] == ["4", "3", "alive", "0.25", "0.12"]
    assert "Maps of 1 of 2 tags alive" in text
    assert ("details", {"class": "tags", "open": None}) in page.elements
    for expected in ("Nothing found (1)", 'n.jpg  nothing found for "cat"', "Photos without a finding (1)"):
        assert expected in text


@pytest.mark.parametrize("reports", [[], [TagReport("cat", 1, 1, 0.25, 0.1, 1.0)]], ids=["unknown", "alive"])
def test_the_table_of_tags_opens_only_where_something_is_wrong(tmp_path, reports):
    page = gallery(tmp_path, [detection()], reports=reports)
    assert ("details", {"class": "tags"}) in page.elements or not reports
    assert not [given for _, given in page.elements if "open" in given or given.get("class") == "why"]


def test_beyond_the_limit_the_least_certain_stay_and_the_page_says_so(tmp_path):
    detections = [detection(f"{n}.jpg", confidence=n / 10) for n in range(10)]
    page = gallery(tmp_path, detections, limit=3)
    assert [card["confidence"] for card in page.data["cards"]] == [0, 0.1, 0.2]
    assert len(page.data["photos"]) == 3
    assert "Only the 3 least certain of 10 objects" in " ".join(page.texts)


def test_the_pictures_of_many_photos_lie_beside_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr("torchbas.viz.gallery.EMBEDDED", 5)
    detections = [detection(f"{n}.jpg", confidence=n / 10) for n in range(3)]
    (tmp_path / "gallery").mkdir()
    for old in ("000007.jpeg", "notes.txt"):
        (tmp_path / "gallery" / old).touch()
    page = gallery(tmp_path, [*detections, detections[0]], pictures=tmp_path / "gallery")
    assert [card["maps"] for card in page.data["cards"]].count(0) == 2, "two objects in one map"
    sources = [photo["src"] for photo in page.data["photos"]] + [one["bas"] for one in page.data["maps"]]
    assert sources == [f"gallery/{n:06}.jpeg" for n in range(3)] + [f"gallery/{n:06}_map.png" for n in range(3)]
    for source in sources:
        Image.open(tmp_path / source).verify()
    assert len([*(tmp_path / "gallery").iterdir()]) == len(sources) + 1, "and what is not ours"
    assert "data:image" not in (tmp_path / "index.html").read_text()
    few = gallery(tmp_path, detections[:2], pictures=tmp_path / "none")
    assert few.data["photos"][0]["src"].startswith("data:image/jpeg")
    assert not (tmp_path / "none").exists()


def test_a_gallery_of_nothing_is_a_page(tmp_path):
    assert gallery(tmp_path, [], sizes={"a.jpg": (3, 3)}).data["cards"] == []


def test_the_page_needs_nothing_from_outside_and_runs_only_its_own_script(tmp_path):
    page = gallery(tmp_path, [detection()])
    policy = next(given["content"] for tag, given in page.elements if given.get("http-equiv"))
    (style,) = re.findall(r"<style>(.*?)</style>", (tmp_path / "index.html").read_text("utf-8"), re.DOTALL)
    for kind, text in (("style", style), ("script", page.scripts[1])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:")
    assert not [given for _, given in page.elements if {"src", "href", "style", "onclick", "onload"} & set(given)]
    assert "url(" not in style
    assert "@import" not in style


TEXT = st.text(st.sampled_from("<>&\"'`/!-ab\n\r\u2028\udcff🦓{}$]") | st.characters(), max_size=12)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXT, TEXT, TEXT)
@example(EVIL, EVIL, EVIL)
@example("</script><script>alert(1)", "<!--<script>", "$title $data ${x} </title></style>")
@example('" onmouseover="alert(1)', "' onerror='alert(1)", "&lt;b&gt; &amp; ]]>")
def test_nothing_user_given_becomes_markup(tmp_path, tag, name, words):
    def page(tag, name, words):
        options = {"problems": [Problem(name, words)], "facts": {f"fact {words}": words}, "title": words}
        options["reports"] = [TagReport(tag, 2, 1, 0.99, 0.5, 1.0, (name,)), TagReport("x", 1, 1, 0.2, 0.1, 1.0)]
        return gallery(tmp_path, [detection(name, tag)], (tag, "x"), {name: (80, 100), "y" + name: (1, 1)}, **options)

    plain, wild = page("cat", "a.jpg", "words"), page(tag, name, words)
    assert wild.elements == plain.elements
    assert [given["id"] if given else "ours" for kind, given in wild.elements if kind == "script"] == ["data", "ours"]
    assert wild.data["classes"][0]["name"] == tag
    assert wild.data["photos"][0]["name"] == name
    assert wild.scripts[1] == plain.scripts[1]
