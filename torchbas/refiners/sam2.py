"""SAM 2: its mask decoder, prompted by box and peak of what was found (Ravi et al. 2024)."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from ..data import standardize
from ..errors import InputError, one_line
from ..model.hub import answering
from ..structures import Box
from .base import Extent, Queries, Refiner, first_filled
from .guard import lost

WEIGHTS = "facebook/sam2.1-hiera-tiny"
"""On the Hugging Face Hub."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of RGB in [0, 1], by which all of SAM 2's weights were trained."""
KINDS = ("sam2", "sam2_video")
"""Networks whose weights hold the mask decoder, in the words of their ``config.json``."""


class Prompt(NamedTuple):
    """What the decoder is asked for one thing, in shares of width and height."""

    box: Box
    point: tuple[float, float]
    """Right and down."""


class SAM2(Refiner):
    """Masks of SAM 2's decoder. Each photo is encoded once, however many tags are asked; of the masks of each thing
    that with the best predicted IoU counts, unless it takes too little of the evidence."""

    name = "sam2"

    def __init__(self, weights: str, device: str | torch.device) -> None:
        self.network = network(weights or WEIGHTS).to(device)
        self.side = int(self.network.config.prompt_encoder_config.image_size)

    @classmethod
    def seen(cls, weights: str) -> str:
        """Where its masks are from."""
        folder = Path(weights).expanduser()
        name = folder.name if weights and folder.is_dir() else weights or WEIGHTS
        return (
            f"Masks refined by SAM 2 ({name}) are not from image tags alone: its weights have learned"
            " from masks that people drew or corrected (SA-1B, SA-V)."
        )

    @torch.inference_mode()
    def __call__(self, queries: Queries, extents: Sequence[tuple[Extent, ...]]) -> list[tuple[Extent, ...]]:
        before = [first_filled(each) for each in extents]
        heatmaps = queries.found.heatmaps.float().cpu().numpy()
        asked = defaultdict[int, list[tuple[int, Prompt]]](list)
        for query, (photo, extent) in enumerate(zip(queries.found.index.tolist(), before, strict=True)):
            for prompt in prompts(queries, query, extent, heatmaps[query]):
                asked[photo].append((query, prompt))
        drawn = dict[int, Float[Tensor, "3 h w"]]()
        for photo, some in asked.items():
            masks = self._masks(queries.photos[photo], [prompt for _, prompt in some])
            for (query, _), each in zip(some, masks, strict=True):  # several things of a tag are one foreground
                drawn[query] = torch.maximum(drawn[query], each) if query in drawn else each
        chosen = _believed(queries, drawn, torch.tensor([one.share for one in before]))
        return [
            (Extent(chosen[query].numpy(), 0.5, self.name), *each) if query in chosen else each
            for query, each in enumerate(extents)
        ]

    def _masks(self, photo: UInt8[Tensor, "3 _ _"], asked: Sequence[Prompt]) -> Float[Tensor, "P 3 _ _"]:
        """Three masks of each thing, as probabilities, that with the best predicted IoU first."""
        device = next(self.network.parameters()).device
        size = (self.side, self.side)
        large = F.interpolate(photo[None].to(device).float(), size=size, mode="bilinear", antialias=True)
        embeddings = self.network.get_image_embeddings(standardize(large / 255, MEAN, DEVIATION))
        points = torch.tensor([[one.point] for one in asked], device=device) * self.side
        boxes = torch.tensor([one.box for one in asked], device=device) * self.side
        answer = self.network(
            image_embeddings=embeddings,
            input_points=points[None],
            input_labels=torch.ones(1, len(asked), 1, dtype=torch.int, device=device),
            input_boxes=boxes[None],
            multimask_output=True,
        )
        best = answer.iou_scores[0].argsort(dim=1, descending=True)
        masks = answer.pred_masks[0].float().sigmoid()
        return masks.gather(1, best[:, :, None, None].expand_as(masks)).cpu()


def prompts(queries: Queries, query: int, extent: Extent, heatmap: Float[np.ndarray, "h w"]) -> Iterator[Prompt]:
    """Box and peak of the heatmap of each thing in the foreground of a query."""
    size = (queries.side, queries.side)
    foreground = cv2.resize(extent.map, size, interpolation=cv2.INTER_LINEAR) > extent.threshold
    large = cv2.resize(heatmap, size, interpolation=cv2.INTER_LINEAR)
    for thing in queries.things(foreground, query) if foreground.any() else ():
        x, y, width, height = (value / queries.side for value in cv2.boundingRect(thing.astype(np.uint8)))
        row, column = np.unravel_index(np.where(thing, large, -1).argmax(), thing.shape)
        yield Prompt((x, y, x + width, y + height), ((column + 0.5) / queries.side, (row + 0.5) / queries.side))


def _believed(
    queries: Queries, drawn: dict[int, Float[Tensor, "3 h w"]], before: Float[Tensor, " Q"]
) -> dict[int, Float[Tensor, "h w"]]:
    """Of the masks of each query the first that takes enough of the evidence; none where none does."""
    chosen, left = dict[int, Float[Tensor, "h w"]](), list(drawn)
    for turn in range(3):
        if not left:
            break
        rows, masks = torch.tensor(left), torch.stack([drawn[query][turn] for query in left])
        gone = lost(queries.found, rows, masks > 0.5, before[rows]) | ~(masks > 0.5).flatten(1).any(dim=1)
        chosen |= {query: one for query, one, away in zip(left, masks, gone.tolist(), strict=True) if not away}
        left = [query for query in left if query not in chosen]
    return chosen


@lru_cache(maxsize=1)
def network(name: str) -> Any:
    """SAM 2 from a folder or the Hub, read once in a process; safetensors only, and nothing there is run.

    Raises:
        InputError: transformers is not installed, or no such weights.
    """
    try:
        import transformers
    except ImportError as error:
        raise InputError('--refine sam2 needs transformers: pip install "torch-bas[sam]".') from error
    folder = Path(name).expanduser()
    source = str(folder) if folder.is_dir() else name
    given: dict[str, Any] = {"local_files_only": folder.is_dir(), "trust_remote_code": False}
    try:
        with _quietly(), answering():
            config = transformers.AutoConfig.from_pretrained(source, **given)
            if config.model_type not in KINDS:
                raise InputError(f"{name} is a {config.model_type}, no SAM 2: give --refiner-weights of one.")
            kind: Any = transformers.Sam2Model
            read, report = kind.from_pretrained(source, use_safetensors=True, output_loading_info=True, **given)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        if folder.is_dir():
            raise InputError(f"{name} cannot be read as SAM 2 ({one_line(error)}): copy the folder again.") from error
        raise InputError(
            f"The weights of SAM 2, {name}, cannot be fetched: give a folder of them with --refiner-weights FOLDER,"
            " fetched elsewhere, or another --refine."
        ) from error
    if missing := next(iter(report["missing_keys"]), None):
        raise InputError(f"{name} lacks {missing}: it is not all of a SAM 2; copy it again.")
    return read.eval().requires_grad_(False)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the progress bars and remarks of transformers."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        logging.enable_progress_bar()
