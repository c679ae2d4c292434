"""Label maps of photos by a trained segmenter."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from PIL import Image

from ...crf.dense_crf import DEEPLAB, DenseCRF, unary_from_probabilities
from ...data.images import image_size, open_image, reduced
from ...structures import LARGEST
from .network import Segmenter


class Labeled(NamedTuple):
    """The label map of a photo."""

    path: Path
    labels: UInt8[np.ndarray, "H W"]
    """In the photo's own size, EXIF applied: 0 background, n the n-th class."""


def predict(
    segmenter: Segmenter,
    photos: Sequence[Path],
    *,
    flip: bool = False,
    crf: bool = False,
    batch_size: int = 1,
    longest: int = LARGEST,
    workers: int = 0,
    precision: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Iterator[Labeled]:
    """Label every pixel of every photo, photos of one size after the other; memory does not grow with their number.

    Works on the segmenter's device, and leaves it in evaluation mode.

    Args:
        flip: average with the mirror image.
        crf: refine by a dense CRF, as DeepLabV2 does; about a second a photo.
        batch_size: photos of one size in a batch.
        longest: larger photos are reduced to this many pixels on their longer side; by default as in training.
        workers: threads that decode and refine.
        precision: a context for the network, e.g. autocast.

    Raises:
        InputError: a photo that cannot be opened.
    """
    segmenter.eval()
    device = next(segmenter.parameters()).device
    sizes = {path: image_size(path) for path in photos}
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        for _, group in groupby(sorted(photos, key=sizes.__getitem__), key=sizes.__getitem__):
            same_size = list(group)
            for start in range(0, len(same_size), batch_size):
                paths = same_size[start : start + batch_size]
                images = np.stack(list(pool.map(lambda path: np.asarray(reduced(open_image(path), longest)), paths)))
                with torch.inference_mode(), precision():
                    logits = segmenter.logits(torch.from_numpy(images).to(device).permute(0, 3, 1, 2), flip)
                    best = logits.argmax(dim=1).to(torch.uint8).cpu().numpy()
                if crf:
                    best = pool.map(_refined, images, logits.softmax(dim=1).cpu().numpy())
                for path, labels in zip(paths, best, strict=True):
                    height, width = sizes[path]
                    full = Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST)
                    yield Labeled(path, np.array(full))


def _refined(
    image: UInt8[np.ndarray, "H W 3"], probabilities: Float32[np.ndarray, "L H W"]
) -> UInt8[np.ndarray, "H W"]:
    return DenseCRF(image, DEEPLAB)(unary_from_probabilities(probabilities)).argmax(axis=0).astype(np.uint8)
