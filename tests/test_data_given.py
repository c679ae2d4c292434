"""Photos as a program has them: whatever they come as, the same pixels are localized in."""

import io
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from PIL import Image, ImageSequence
from tiny import tiny_bas

import torchbas as tb
from torchbas.api import Compute, Watch
from torchbas.data.given import samples_of
from torchbas.errors import InputError
from torchbas.inference.localizer import Localizer

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
EXACT = Compute(precision="32-true")
TURNED = 6
"""EXIF orientation of a photo taken with the camera on its side."""


@pytest.fixture(scope="module")
def localizer():
    return Localizer(tiny_bas(classes=2), ("cat", "dog"), resize=32, crop=28)


@pytest.fixture
def file(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def server(tmp_path):
    """Address of a server of the files below ``tmp_path``."""
    handler = partial(Silent, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def turned() -> bytes:
    image, content = Image.fromarray(PIXELS), io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = TURNED
    image.save(content, "PNG", exif=exif)
    return content.getvalue()


def pixels(photo) -> np.ndarray:
    (sample,) = samples_of([photo])
    return np.asarray(sample.image)


FORMS = {
    "bytes": lambda file: file.read_bytes(),
    "Pillow": lambda file: Image.open(io.BytesIO(file.read_bytes())),
    "array": lambda _: PIXELS,
    "floats": lambda _: PIXELS / 255,
    "read-only and not contiguous": lambda _: np.broadcast_to(PIXELS[None], (1, *PIXELS.shape))[0][::-1][::-1],
    "with alpha": lambda _: np.dstack([PIXELS, np.full((40, 30), 255, np.uint8)]),
    "tensor": lambda _: torch.from_numpy(PIXELS).permute(2, 0, 1),
    "tensor of floats": lambda _: (torch.from_numpy(PIXELS).permute(2, 0, 1) / 255).requires_grad_(),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_pixels_are_the_same(form, file):
    assert (pixels(form(file)) == PIXELS).all()


def test_floats_of_half_precision_are_read():
    assert not pixels(torch.zeros(3, 40, 30, dtype=torch.bfloat16)).any()


@pytest.mark.parametrize("suffix", ["png", "webp", "gif", "tiff"])
def test_frames_that_come_in_one_image_are_photos_of_their_own(suffix, tmp_path):
    gray = [0, 60, 120, 180]
    frames = [Image.new("RGB", (8, 8), (value,) * 3) for value in gray]
    frames[0].save(tmp_path / f"film.{suffix}", save_all=True, append_images=frames[1:], lossless=True)
    with Image.open(tmp_path / f"film.{suffix}") as film:
        samples = [*samples_of(ImageSequence.Iterator(film))]
    assert [np.asarray(sample.image)[0, 0, 0] for sample in samples] == pytest.approx(gray, abs=3)


def test_what_is_drawn_into_an_image_later_is_not_in_the_photo(localizer):
    image = Image.fromarray(PIXELS)
    (found,) = localizer(image)
    image.paste((0, 0, 0), (0, 0, 30, 40))
    assert (np.asarray(found.photo) == PIXELS).all()


GRAY = PIXELS[..., 0]


@pytest.mark.parametrize("photo", [GRAY, GRAY[..., None], torch.from_numpy(GRAY), torch.from_numpy(GRAY)[None]])
def test_gray_is_three_times_the_same(photo):
    assert (pixels(photo) == PIXELS[..., :1]).all()


@pytest.mark.parametrize("photo", [turned(), Image.open(io.BytesIO(turned()))])
def test_a_turned_photo_is_upright(photo):
    assert (pixels(photo) == np.rot90(PIXELS, -1)).all()


def test_all_of_them_localize_as_the_file_does(localizer, file):
    (expected,) = localizer(file)
    photos = [form(file) for form in FORMS.values()]
    found = localizer(photos)
    assert [one.name for one in found] == [f"{number}.png" for number in range(len(photos))]
    found += [*localizer(str(file)), *localizer(PIXELS), *tb.predict(iter([PIXELS]), localizer, compute=EXACT)]
    for one in found:
        assert one.label == expected.label
        assert one.xyxy == expected.xyxy
        assert one.grid == pytest.approx(expected.grid, abs=1e-4)
    (dog,) = localizer(PIXELS, "dog", threshold=0.0)
    assert (dog.label, dog.threshold) == ("dog", 0.0)
    assert [one.label for one in tb.predict(np.stack([PIXELS, PIXELS]), localizer, tags=["cat", "dog"])] == [
        "cat",
        "dog",
        "cat",
        "dog",
    ]


def test_objects_come_while_photos_are_made(localizer):
    made = []
    photos = (made.append(number) or PIXELS for number in range(40))
    found = tb.predict(photos, localizer, tags=["cat"])
    assert made == []
    next(found)
    assert len(made) == 16
    assert sum(1 for _ in found) == 39


def test_a_url_is_fetched_unless_the_network_is_off_limits(server, file, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert (pixels(f"{server}/{file.name}") == PIXELS).all()
    assert (pixels(f"{server}/{file.name}".replace("http", "HTTP")) == PIXELS).all()
    (tmp_path / "page.png").write_text("<html>")
    for address, sentence in (
        ("absent.png", r"absent\.png cannot be fetched \(HTTP Error 404"),
        ("page.png", rf"{server}/page\.png is not an image"),
        ("a b.png", "cannot be fetched"),
    ):
        with pytest.raises(InputError, match=sentence):
            pixels(f"{server}/{address}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="--offline"):
        pixels(f"{server}/{file.name}")


def test_what_cannot_be_read_is_told_of_and_left_out(localizer, tmp_path):
    told = []
    photos = [PIXELS, b"garbage", tmp_path / "absent.jpg", PIXELS]
    found = [*tb.predict(iter(photos), localizer, watch=Watch(unreadable=told.append))]
    assert [one.name for one in found] == ["0.png", "3.png"]
    assert [one.name for one in told] == ["1.png", str(tmp_path / "absent.jpg")]


@pytest.mark.parametrize(
    ("photo", "sentence"),
    [
        (np.zeros(5, np.uint8), r"Photo 0\.png has the shape \(5,\)"),
        (np.zeros((4, 5, 7), np.uint8), r"shape \(4, 5, 7\): give an array"),
        (torch.zeros(4, 5, 3), r"shape \(4, 5, 3\): give a tensor"),
        (np.zeros((0, 5, 3), np.uint8), "no pixels"),
        (np.full((4, 4), np.nan), "must be in"),
        (PIXELS.astype(np.int64), "is of int64"),
        (PIXELS * 1.0, r"values from 0 to 255: floats must be in \[0, 1\]"),
        (3, "is a int"),
        (b"", r"Photo 0\.png is not an image"),
        (turned()[:-40], r"Photo 0\.png is damaged"),
        (Image.open(io.BytesIO(turned()[:-40])), r"Photo 0\.png is damaged"),
        (Image.new("RGB", (0, 5)), "without pixels"),
    ],
)
def test_what_is_no_photo_is_said(photo, sentence, localizer):
    with pytest.raises(InputError, match=sentence):
        localizer(iter([photo]))


def test_an_array_with_its_channels_first_is_not_three_gray_photos(localizer):
    with pytest.raises(InputError, match=r"shape \(3, 40, 30\)"):
        localizer(PIXELS.transpose(2, 0, 1))


def test_two_photos_of_one_name_are_not_saved_as_one(localizer, tmp_path):
    found = [*localizer(PIXELS, "cat"), *localizer(PIXELS[:20], "cat")]
    with pytest.raises(InputError, match=r"Two photos are called 0\.png"):
        tb.save(found, tmp_path / "out")
    tb.save(localizer(PIXELS, ["cat", "dog"]), tmp_path / "out")


def test_results_are_drawn_and_saved_without_a_file(localizer, tmp_path):
    found = [*tb.predict([PIXELS, PIXELS], localizer, tags=["cat"])]
    picture = tb.plot(found[0])
    assert picture.size == (30, 40)
    assert (np.asarray(picture) != PIXELS).any()
    assert tb.plot(found[:1], heat=True) != picture
    for of_no_photo in (found, []):
        with pytest.raises(InputError, match="no one photo"):
            tb.plot(of_no_photo)
    tb.save(found, tmp_path, formats=["coco", "gallery", "yolo", "huggingface"])
    assert "does not exist" not in (tmp_path / "index.html").read_text()
    copies = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.png"))
    assert copies == [Path("huggingface/0.png"), Path("huggingface/1.png")] + [
        Path(f"yolo/images/{split}/{number}.png") for split, number in (("train", 1), ("val", 0))
    ]
    for copy in copies:
        assert (np.asarray(Image.open(tmp_path / copy)) == PIXELS).all()
