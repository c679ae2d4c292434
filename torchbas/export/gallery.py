"""The results as a web page to look through: ``index.html``, and the folder ``gallery`` where there are many photos."""

from pathlib import Path

from ..io import atomic_write
from ..viz.gallery import write_gallery
from .results import Results


def write(results: Results, folder: Path) -> None:
    """Write ``folder/index.html``; see :func:`torchbas.viz.gallery.write_gallery`."""
    with atomic_write(folder / "index.html") as partial:
        write_gallery(
            results.detections,
            results.classes,
            results.sizes,
            partial,
            open_image=results.open_image,
            problems=results.problems,
            facts=results.facts,
            reports=results.reports,
            not_found=results.not_found,
            pictures=folder / "gallery",
        )
