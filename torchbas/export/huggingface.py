"""Photos and boxes as Hugging Face's image folders have them."""

import json
from pathlib import Path

from ..io import atomic_write
from .photos import by_photo, photo_paths, place
from .results import Results


def write(results: Results, folder: Path) -> None:
    """Write ``folder/huggingface``, for ``load_dataset("imagefolder")``: photos, their objects in ``metadata.jsonl``.

    Boxes are ``[x, y, width, height]`` in pixels; ``category`` is the name of the tag, ``method`` whose map the box is
    from, ``corrected`` where it was made by hand. A photo without detections is left out, since that does not prove
    background.

    Raises:
        InputError: a disk that is full.
    """
    root, paths, photos = folder / "huggingface", photo_paths(results), by_photo(results)
    with atomic_write(root / "metadata.jsonl") as partial, partial.open("w", encoding="utf-8") as file:
        for name, detections in photos.items():
            boxes = [[x0, y0, x1 - x0, y1 - y0] for x0, y0, x1, y1 in (one.xyxy for one in detections)]
            objects: dict[str, list] = {"bbox": boxes, "category": [one.label for one in detections]}
            objects["score"] = [round(one.score, 4) for one in detections]
            objects["method"] = [one.method for one in detections]
            file.write(json.dumps({"file_name": str(paths[name]), "objects": objects}) + "\n")
    for name, detections in photos.items():
        place(detections[0], root / paths[name])
