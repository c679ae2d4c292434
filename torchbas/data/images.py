"""Photo and mask files: decoded, verified, measured, with one sentence for each that cannot be."""

import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import IO, NamedTuple, cast

from PIL import Image, ImageFile, UnidentifiedImageError

from ..errors import InputError
from ..structures import LARGEST, Sample, working_size

SUFFIXES = frozenset(
    "avif bmp gif heic heif jfif jp2 jpe jpeg jpg pbm pgm png ppm tga tif tiff webp".split()  # noqa: SIM905
)
"""Lower-case suffixes of photo files, without the dot."""

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "WEBP", "TIFF", "AVIF", "JPEG2000", "HEIF", "TGA")
"""Formats that are read, by Pillow's names, whatever a file is called: none that starts a program, as PostScript does.
HEIF needs a plugin of Pillow. TGA comes last, for it has no mark that others lack."""

LARGEST_PHOTO = 160_000_000
"""Pixels above which a photo is refused, from its header alone; the largest sensors have 151 million."""
LARGEST_FILE = 1 << 30
"""Bytes above which a file is refused; some decoders read all of it at once."""

# The limit above stands in its place; Pillow warns of photos that cameras make.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

_STRIP = 1 << 22
"""Pixels that are converted at once: what a conversion needs beside photo and result is that of a strip."""

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadableImage(InputError):
    """A photo or mask that cannot be decoded: one sentence that names the file and the next move."""


class _Unusable(Exception):
    """What a file is that is not opened."""


class Decoded(NamedTuple):
    """A photo and its original size."""

    image: Image.Image
    """RGB, upright."""
    size: tuple[int, int]
    """Height and width of the original in pixels, EXIF applied, before any reduced decoding."""


def open_image(path: Path, at_least: int | None = None) -> Image.Image:
    """The photo as an upright RGB image; see :func:`decode`."""
    return decode(path, at_least).image


def decode(path: Path | str, at_least: int | None = None, content: bytes | None = None) -> Decoded:
    """Read a photo: EXIF orientation applied, first frame, 8-bit RGB, transparency on white, 16 bits scaled to 8.

    Args:
        path: the file; with ``content`` only what the photo is called.
        at_least: pixels that the shorter side needs. A JPEG that is much larger is decoded at 1/2, 1/4 or 1/8 of its
            size, never below ``at_least``, which is several times faster.
        content: of the file, where it is in memory.

    Raises:
        UnreadableImage: a file that cannot be opened or decoded to its last pixel.
    """
    with _opened(path, content) as file:
        image = _image(file)
        whole = image.size
        if at_least is not None:
            image.draft(None, (at_least, at_least))
        reduced = image.size != whole
        image.load()  # first, for reading the EXIF of a PNG would do so too, and hide that its pixels are damaged
        return upright(image, whole if reduced else None)


def upright(image: Image.Image, whole: tuple[int, int] | None = None) -> Decoded:
    """A decoded image turned by its EXIF orientation, as RGB.

    Args:
        whole: width and height of the original where the image was decoded at a reduced size.
    """
    orientation = 1 if image.format == "TIFF" else _orientation(image)  # Pillow turns a TIFF as it loads it
    size = _upright(whole or image.size, orientation)
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    return Decoded(_to_rgb(image), size)


def verify(path: Path) -> None:
    """Decode a photo to its last pixel, as cheaply as its format allows, and discard the pixels.

    Of a JPEG every bit is read, but only the brightness of 8 x 8 blocks is computed.

    Raises:
        UnreadableImage: a file that :func:`decode` would refuse.
    """
    with _opened(path) as file:
        image = _image(file)
        brightness = image.draft("L", (1, 1)) and image.mode == "L"
        image.load()
        if not brightness:
            _to_rgb(image)


def open_mask(path: Path) -> Image.Image:
    """A mask of object numbers, class numbers or gray values: a palette or 8-bit gray PNG.

    Raises:
        InputError: any other kind of file.
    """
    with _opened(path) as file:
        mask = _image(file)
        if mask.mode in ("L", "P", "1"):
            mask.load()
            return mask
    raise InputError(f"{path} is no mask but {mask.mode}. Save it as a palette or 8-bit gray PNG.")


def mask_content(path: Path) -> bytes:
    """The bytes of a mask file whose header is that of an image within the limits, for another decoder.

    Raises:
        InputError: any other kind of file.
    """
    with _opened(path) as file:
        _image(file)
        file.seek(0)
        return file.read()


def open_label_map(sample: Sample) -> Image.Image:
    """The true mask of a photo, of the photo's size.

    Raises:
        InputError: the photo has no true mask, or one that cannot be read or is not of its size.
    """
    if sample.mask is None:
        raise InputError(f"{sample.name} has no true mask. Leave it out, or list one.")
    mask = open_mask(sample.mask)
    require_same_size(sample.mask, (mask.height, mask.width), sample.path, sample.size or image_size(sample.path))
    return mask


def require_same_size(mask: Path, size: tuple[int, ...], photo: Path, expected: tuple[int, ...]) -> None:
    """Raises :class:`InputError` where a mask's height and width are not its photo's."""
    if size != expected:
        (high, wide), (height, width) = size, expected
        raise InputError(f"{mask} is {wide} x {high} pixels, but {photo} is {width} x {height}. Make both the same.")


def reduced(image: Image.Image, largest: int = LARGEST) -> Image.Image:
    """The photo at its :func:`~torchbas.structures.working_size`, bicubic."""
    height, width = working_size((image.height, image.width), largest)
    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BICUBIC)


def image_size(path: Path) -> tuple[int, int]:
    """Height and width of the original in pixels, EXIF applied, from the header alone.

    Raises:
        UnreadableImage: a file without a readable header.
    """
    with _opened(path) as file:
        image = _image(file)
        tags = getattr(image, "tag_v2", None)  # of a TIFF, whose size Pillow may have turned already
        return _upright((tags[256], tags[257]) if tags else image.size, _orientation(image))


@contextmanager
def _opened(path: Path | str, content: bytes | None = None) -> Iterator[IO[bytes] | BytesIO]:
    """A regular file, or its content, to read; whatever goes wrong with it becomes the sentence that names it.

    Pillow is given the open file and not its path: by path it maps an uncompressed TIFF into memory, which gives wrong
    pixels where that is to be turned, and kills the process where the file is cut short meanwhile.
    """
    try:
        if content is not None:
            yield BytesIO(content)
            return
        path = Path(path)
        found = path.stat()
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            raise _Unusable("no file but a pipe, a device or a socket. Take it off the list, or remove it")
        if found.st_size > LARGEST_FILE:
            raise _Unusable(f"larger than {LARGEST_FILE >> 30} GiB. Make it smaller, or remove it")
        with path.open("rb", buffering=1 << 16) as file:  # few reads: they pay for the look before
            yield file
    # Pillow's decoders answer damaged bytes with nearly every kind of exception.
    except Exception as error:
        raise UnreadableImage(_sentence(path, error)) from error


def upright_of(image: Image.Image, name: str) -> Image.Image:
    """A copy of an image that a program has opened, as upright RGB.

    Raises:
        UnreadableImage: its file turns out to be damaged, or it has no pixels, or too many.
    """
    try:
        if image.width * image.height > LARGEST_PHOTO:
            raise Image.DecompressionBombError
        if not image.width * image.height:
            raise _Unusable("an image without pixels. Leave it out")
        image.load()
        found = upright(image).image
        return found.copy() if found is image else found  # the next frame may be read into the same one
    except Exception as error:
        raise UnreadableImage(_sentence(name, error)) from error


def _image(file: IO[bytes] | BytesIO) -> ImageFile.ImageFile:
    """The image whose header was read, in one of the formats and within the limit of pixels."""
    image = Image.open(file, formats=[name for name in FORMATS if name != "HEIF" or name in Image.OPEN])
    if image.width * image.height > LARGEST_PHOTO:
        raise Image.DecompressionBombError
    return image


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a damaged EXIF block is no reason to lose the photo
        return 1


def _upright(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Height and width of the upright photo."""
    width, height = size
    return (width, height) if orientation in (5, 6, 7, 8) else (height, width)


def _to_rgb(image: Image.Image) -> Image.Image:
    """A decoded image as RGB, in strips."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    convert = _conversion(image)
    rows = max(1, _STRIP // image.width)
    if image.height <= rows:
        return convert(image)
    rgb = Image.new("RGB", image.size)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        rgb.paste(convert(strip), (0, top))
    return rgb


def _conversion(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    if image.mode.startswith("I;16"):
        return partial(_scaled, low=0.0, high=65535.0)
    if image.mode in ("I", "F"):
        low, high = map(float, cast(tuple[float, float], image.getextrema()))
        return partial(_scaled, low=low, high=high)  # no nominal range: the values give it
    return _on_white if image.has_transparency_data else lambda strip: strip.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def _scaled(image: Image.Image, low: float, high: float) -> Image.Image:
    """An image of 16 or 32 bits as gray of 8."""
    import numpy as np  # only such an image needs it

    values = (np.asarray(image, np.float32) - np.float32(low)) / max(np.float32(high) - np.float32(low), 1e-12)
    return Image.fromarray((values * 255).round().astype(np.uint8)).convert("RGB")


def _sentence(path: Path | str, error: Exception) -> str:
    match error:
        case FileNotFoundError():
            return f"{path} does not exist. Put it back, or take it off the list."
        case PermissionError():
            return f"{path} may not be read by this user. Change its permissions, or take it off the list."
        case IsADirectoryError():
            return f"{path} is a folder, not a photo. Name a file in it instead."
        case Image.DecompressionBombError():
            return f"{path} claims more than {LARGEST_PHOTO / 1e6:.0f} megapixels. Make it smaller, or remove it."
        case MemoryError():
            return f"{path} needs more memory than there is. Make it smaller, or give fewer --workers."
        case _Unusable():
            return f"{path} is {error}."
        case UnidentifiedImageError() if isinstance(path, Path) and path.is_file() and path.stat().st_size == 0:
            return f"{path} is empty (0 bytes). Copy it again, or remove it."
        case UnidentifiedImageError():
            return f"{path} is not an image of a format that is read. Convert it to JPEG or PNG, or remove it."
        case _:
            return f"{path} is damaged or cut off ({error}). Copy it again, or remove it."
