"""Every kind of photo file becomes an upright RGB image or one sentence that names it."""

import contextlib
import io
import os
import pickle
import socket

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from torchbas.data import images
from torchbas.data.images import UnreadableImage, decode, image_size, open_image, open_mask, verify
from torchbas.errors import InputError


def _noise(height, width, channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def _jpeg(array, **options):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "jpeg", **options)
    return stream.getvalue()


def test_rgb_is_returned_pixel_for_pixel(tmp_path):
    Image.fromarray(_noise(5, 7)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "a.png")), _noise(5, 7))


def test_a_photo_may_have_one_pixel(tmp_path):
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "a.png")
    assert open_image(tmp_path / "a.png", at_least=224).getpixel((0, 0)) == (1, 2, 3)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_to_pixels_and_size(tmp_path, orientation, suffix):
    exif, file = Image.Exif(), tmp_path / f"a.{suffix}"
    exif[0x0112] = orientation
    Image.fromarray(_noise(8, 24)).save(file, exif=exif)
    with Image.open(file) as image:
        expected = ImageOps.exif_transpose(image)
    image, size = decode(file)
    np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))
    assert size == image_size(file) == (expected.height, expected.width)


UPRIGHT = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels),
}
"""The upright pixels by their EXIF orientation."""


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("mode", ["L", "I;16", "F", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_tiff_is_turned_once(tmp_path, orientation, mode, compression):
    exif, plain, turned = Image.Exif(), tmp_path / "plain.tif", tmp_path / "turned.tif"
    exif[0x0112] = orientation
    gray = _noise(8, 24)[..., 0]
    arrays = {"I;16": gray.astype(np.uint16) * 257, "F": gray.astype(np.float32)}
    image = Image.fromarray(arrays[mode]) if mode in arrays else Image.fromarray(_noise(8, 24)).convert(mode)
    image.save(plain, compression=compression)
    image.save(turned, compression=compression, exif=exif)
    expected = UPRIGHT[orientation](np.asarray(open_image(plain)))
    upright, size = decode(turned)
    np.testing.assert_array_equal(np.asarray(upright), expected)
    assert size == image_size(turned) == expected.shape[:2]


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_an_orientation_in_xmp_alone_is_applied_to_a_tiff_too(tmp_path, orientation):
    xmp = f'<rdf:Description tiff:Orientation="{orientation}"/>'.encode()
    Image.fromarray(_noise(8, 24)).save(tmp_path / "a.tif", tiffinfo={700: xmp})
    expected = UPRIGHT[orientation](_noise(8, 24))
    image, size = decode(tmp_path / "a.tif")
    np.testing.assert_array_equal(np.asarray(image), expected)
    assert size == image_size(tmp_path / "a.tif") == expected.shape[:2]


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    Image.fromarray(np.array([[0, 257, 32896, 65535]], np.uint16)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "a.png"))[0, :, 1], [0, 1, 128, 255])


def test_floats_are_stretched_over_their_own_range(tmp_path):
    Image.fromarray(np.array([[-1, 0, 1]], np.float32)).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "a.tif"))[0, :, 0], [0, 128, 255])


@pytest.mark.parametrize(("mode", "color"), [("RGBA", (255, 0, 0, 0)), ("LA", (0, 0))])
def test_transparent_pixels_become_white(tmp_path, mode, color):
    Image.new(mode, (3, 3), color).save(tmp_path / "a.png")
    assert open_image(tmp_path / "a.png").getpixel((1, 1)) == (255, 255, 255)


def test_a_palette_with_a_transparent_entry_becomes_white_there(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.png", transparency=0)
    assert np.asarray(open_image(tmp_path / "a.png")).tolist() == [[[255, 255, 255], [0, 0, 255]]]


@pytest.mark.parametrize(("mode", "color"), [("L", 90), ("1", 1), ("CMYK", (0, 0, 0, 0))])
def test_other_modes_become_rgb(tmp_path, mode, color):
    Image.new(mode, (3, 2), color).save(tmp_path / "a.tif")
    image = open_image(tmp_path / "a.tif")
    assert (image.mode, image.size) == ("RGB", (3, 2))
    assert image.getpixel((0, 0)) == ((90,) * 3 if mode == "L" else (255,) * 3)


def test_an_animation_gives_its_first_frame(tmp_path):
    red, blue = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    red.save(tmp_path / "a.gif", save_all=True, append_images=[blue])
    assert open_image(tmp_path / "a.gif").getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize(("at_least", "expected"), [(None, 640), (100, 160), (160, 160), (161, 320), (900, 640)])
def test_reduced_decoding_stays_above_the_size_asked_for_and_reports_the_original(tmp_path, at_least, expected):
    (tmp_path / "a.jpg").write_bytes(_jpeg(_noise(640, 960)))
    image, size = decode(tmp_path / "a.jpg", at_least)
    assert (image.height, size) == (expected, (640, 960))


def test_unreadable_files_are_named_with_a_reason(tmp_path):
    jpeg = _jpeg(_noise(64, 64))
    broken = {"empty.jpg": b"", "cut.jpg": jpeg[: len(jpeg) // 2], "text.jpg": b"no image at all"}
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.jpg").mkdir()
    reasons = {"empty": "0 bytes", "cut": "cut off", "text": "not an image", "folder": "a folder", "gone": "not exist"}
    for name, reason in reasons.items():
        with pytest.raises(UnreadableImage, match=f"{name}.jpg.*{reason}"):
            open_image(tmp_path / f"{name}.jpg")


def test_a_cut_off_jpeg_is_found_by_the_reduced_decoding_too(tmp_path):
    jpeg = _jpeg(_noise(256, 256))
    (tmp_path / "cut.jpg").write_bytes(jpeg[:-900])
    with pytest.raises(UnreadableImage, match=r"cut\.jpg"):
        decode(tmp_path / "cut.jpg", at_least=1)


def test_a_png_with_damaged_pixels_is_found(tmp_path):
    Image.fromarray(_noise(90, 110)).save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    (tmp_path / "a.png").write_bytes(bytes(content))
    with pytest.raises(UnreadableImage, match=r"a\.png is damaged or cut off"):
        open_image(tmp_path / "a.png")


OPENERS = {"decode": decode, "verify": verify, "size": image_size, "mask": open_mask}


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("side", [12_700, 13_400, 50_000])  # below and above Pillow's own limits
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_too_many_pixels_are_refused_from_the_header(tmp_path, opener, side):
    (tmp_path / "bomb.png").write_bytes(b"P5 %d %d 255\n" % (side, side))
    with pytest.raises(UnreadableImage, match=r"bomb\.png claims more than 160 megapixels"):
        OPENERS[opener](tmp_path / "bomb.png")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_hundred_megapixels_are_a_photo(tmp_path):
    Image.new("L", (10_000, 10_000)).save(tmp_path / "a.tif", compression="tiff_lzw")
    assert image_size(tmp_path / "a.tif") == (10_000, 10_000)
    verify(tmp_path / "a.tif")


@pytest.mark.parametrize("opener", OPENERS)
def test_a_file_too_large_to_be_a_photo_is_refused_unread(tmp_path, opener):
    with (tmp_path / "a.webp").open("wb") as file:
        file.write(b"RIFF\xff\xff\xff\xffWEBPVP8X\x0a\0\0\0")
        file.truncate(1 << 34)
    with pytest.raises(UnreadableImage, match=r"a\.webp is larger than 1 GiB"):
        OPENERS[opener](tmp_path / "a.webp")


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path, monkeypatch, opener, kind):
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    if kind == "pipe":
        os.mkfifo("a.jpg")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("a.jpg")
    else:
        (tmp_path / "a.jpg").symlink_to("/dev/zero")
    with pytest.raises(UnreadableImage, match=r"a\.jpg is no file but a pipe, a device or a socket"):
        OPENERS[opener](tmp_path / "a.jpg")


def test_a_link_to_a_photo_is_a_photo(tmp_path):
    Image.fromarray(_noise(5, 7)).save(tmp_path / "a.png")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "a.png")
    assert image_size(tmp_path / "b.jpg") == (5, 7)


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("form", ["eps", "pdf", "ico", "sgi", "pcx", "dds"])
def test_formats_that_no_camera_makes_are_not_opened_by_any_name(tmp_path, monkeypatch, opener, form):
    stream = io.BytesIO()
    Image.new("L", (8, 8)).save(stream, form)
    (tmp_path / "a.jpg").write_bytes(stream.getvalue())
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("a program was started"))
    with pytest.raises(UnreadableImage, match=r"a\.jpg is not an image of a format that is read"):
        OPENERS[opener](tmp_path / "a.jpg")


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "LA", "RGBA", "I;16", "F"])
def test_a_photo_converted_in_strips_is_the_one_converted_at_once(tmp_path, monkeypatch, mode):
    gray = _noise(23, 17)[..., 0]
    arrays = {"I;16": gray.astype(np.uint16) * 250, "F": gray.astype(np.float32) / 3}
    image = Image.fromarray(arrays[mode]) if mode in arrays else Image.fromarray(_noise(23, 17)).convert(mode)
    image.save(tmp_path / "a.tif")
    whole = np.asarray(open_image(tmp_path / "a.tif"))
    monkeypatch.setattr(images, "_STRIP", 17 * 5)
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "a.tif")), whole)


def test_a_damaged_exif_block_does_not_cost_the_photo(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_bytes(_jpeg(_noise(6, 9)))
    monkeypatch.setattr(Image.Image, "getexif", lambda _: 1 / 0)
    assert image_size(tmp_path / "a.jpg") == (6, 9)


def test_the_error_can_be_pickled():
    error = pickle.loads(pickle.dumps(UnreadableImage("a.jpg is empty.")))
    assert isinstance(error, InputError)
    assert str(error) == "a.jpg is empty."


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"keep_rgb": True}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_every_kind_of_jpeg_is_verified_to_its_last_pixel(tmp_path, mode, options):
    file = tmp_path / "a.jpg"
    Image.fromarray(_noise(120, 170)).convert(mode).save(file, **options)
    verify(file)
    content = file.read_bytes()
    for cut in (40, 400, len(content) // 2):
        file.write_bytes(content[:-cut])
        with pytest.raises(UnreadableImage, match=r"a\.jpg is damaged or cut off"):
            verify(file)


@settings(deadline=None)
@given(
    st.binary(min_size=1, max_size=60),
    st.integers(0, 900),
    st.booleans(),
    st.sampled_from(["jpeg", "png", "gif", "bmp", "tiff", "webp", "ppm"]),
)
def test_a_photo_is_verified_exactly_where_it_can_be_decoded(tmp_path_factory, junk, place, cut, form):
    stream = io.BytesIO()
    Image.fromarray(_noise(9, 11)).save(stream, form)
    content = bytearray(stream.getvalue())
    content[place : None if cut else place + len(junk)] = junk
    file = tmp_path_factory.mktemp("junk") / "a.jpg"
    file.write_bytes(bytes(content))
    sentences = []
    for check in (verify, open_image):
        try:
            check(file)
        except UnreadableImage as error:
            sentences.append(str(error))
    assert len(sentences) in (0, 2)
    assert len(set(sentences)) < 2


@settings(deadline=None)
@given(st.binary(max_size=60), st.integers(0, 500), st.sampled_from(["jpeg", "png", "gif", "bmp", "tiff", "webp"]))
def test_damaged_bytes_raise_no_other_exception(tmp_path_factory, junk, place, form):
    stream = io.BytesIO()
    Image.fromarray(_noise(9, 11)).save(stream, form)
    content = bytearray(stream.getvalue())
    content[place : place + len(junk)] = junk
    file = tmp_path_factory.mktemp("junk") / "a.jpg"
    file.write_bytes(bytes(content))
    with contextlib.suppress(UnreadableImage):
        assert open_image(file).mode == "RGB"
