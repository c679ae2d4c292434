"""Photo and mask files: decoded, verified, measured, with one sentence for each that cannot be."""

from pathlib import Path
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from ..errors import InputError
from ..structures import LARGEST, Sample, working_size

SUFFIXES = frozenset(
    "avif bmp gif heic heif jfif jp2 jpe jpeg jpg pbm pgm png ppm tga tif tiff webp".split()  # noqa: SIM905
)
"""Lower-case suffixes of photo files, without the dot."""

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
    """A photo that cannot be decoded: one sentence that names the file and the next move."""


class Decoded(NamedTuple):
    """A photo and its original size."""

    image: Image.Image
    """RGB, upright."""
    size: tuple[int, int]
    """Height and width of the original in pixels, EXIF applied, before any reduced decoding."""


def open_image(path: Path, at_least: int | None = None) -> Image.Image:
    """The photo as an upright RGB image; see :func:`decode`."""
    return decode(path, at_least).image


def decode(path: Path, at_least: int | None = None) -> Decoded:
    """Read a photo: EXIF orientation applied, first frame, 8-bit RGB, transparency on white, 16 bits scaled to 8.

    Args:
        path: the file.
        at_least: pixels that the shorter side needs. A JPEG that is much larger is decoded at 1/2, 1/4 or 1/8 of its
            size, never below ``at_least``, which is several times faster.

    Raises:
        UnreadableImage: a file that cannot be opened or decoded to its last pixel.
    """
    try:
        with Image.open(path) as image:
            if image.format == "PNG":
                image.load()  # or else reading its EXIF would, and would hide that the pixels are damaged
            orientation = _orientation(image)
            size = _upright_size(image, orientation)
            if at_least is not None:
                image.draft(None, (at_least, at_least))
            rgb = _to_rgb(image)
        return Decoded(rgb.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else rgb, size)
    # Pillow's decoders answer damaged bytes with nearly every kind of exception.
    except Exception as error:
        raise UnreadableImage(_sentence(path, error)) from error


def verify(path: Path) -> None:
    """Decode a photo to its last pixel, as cheaply as its format allows, and discard the pixels.

    Of a JPEG every bit is read, but only the brightness of 8 x 8 blocks is computed.

    Raises:
        UnreadableImage: a file that :func:`decode` would refuse.
    """
    try:
        with Image.open(path) as image:
            if image.draft("L", (1, 1)) and image.mode == "L":
                image.load()
            else:
                _to_rgb(image)
    except Exception as error:
        raise UnreadableImage(_sentence(path, error)) from error


def open_mask(path: Path) -> Image.Image:
    """A mask of object numbers, class numbers or gray values: a palette or 8-bit gray PNG.

    Raises:
        InputError: any other kind of file.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ("L", "P", "1"):
                raise InputError(f"{path} is no mask but {image.mode}. Save it as a palette or 8-bit gray PNG.")
            image.load()
            return image
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path} cannot be read as a mask ({error}). Copy it again.") from error


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
    try:
        with Image.open(path) as image:
            return _upright_size(image, _orientation(image))
    except Exception as error:
        raise UnreadableImage(_sentence(path, error)) from error


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation that remains to be applied."""
    if image.format == "TIFF":  # Pillow applies it while loading, and reports the upright size before
        return 1
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a damaged EXIF block is no reason to lose the photo
        return 1


def _upright_size(image: Image.Image, orientation: int) -> tuple[int, int]:
    width, height = image.size
    return (width, height) if orientation in (5, 6, 7, 8) else (height, width)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _eight_bits(image).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """An image of 16 or 32 bits as gray of 8."""
    import numpy as np  # only such an image needs it

    values = np.asarray(image, np.float32)
    if image.mode.startswith("I;16"):
        return Image.fromarray((values / 257).round().astype(np.uint8))
    values = (values - values.min()) / max(values.max() - values.min(), 1e-12)  # no nominal range: the values give it
    return Image.fromarray((values * 255).round().astype(np.uint8))


def _sentence(path: Path, error: Exception) -> str:
    match error:
        case FileNotFoundError():
            return f"{path} does not exist. Put it back, or take it off the list."
        case PermissionError():
            return f"{path} may not be read by this user. Change its permissions, or take it off the list."
        case IsADirectoryError():
            return f"{path} is a folder, not a photo. Name a file in it instead."
        case Image.DecompressionBombError():
            limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6
            return f"{path} claims more than {limit:.0f} megapixels. Make it smaller, or remove it."
        case UnidentifiedImageError() if path.is_file() and path.stat().st_size == 0:
            return f"{path} is empty (0 bytes). Copy it again, or remove it."
        case UnidentifiedImageError():
            return f"{path} is not an image that Pillow can read. Convert it to JPEG or PNG, or remove it."
        case _:
            return f"{path} is damaged or cut off ({error}). Copy it again, or remove it."
