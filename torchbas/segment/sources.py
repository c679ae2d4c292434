"""What makes seeds: trained networks, and folders that another program has filled."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..formats.seeds import Seed, read_irn, read_seed
from ..model import BAS
from ..types import Photo


@runtime_checkable
class Maker(Protocol):
    """A network with maps of classes: BAS, or a baseline."""

    def seed_maps(self, images: Float[Tensor, "B 3 H W"], labels: Float[Tensor, "B K"]) -> Float[Tensor, "B K h w"]: ...

    def to(self, device: torch.device) -> Any: ...


@dataclass(frozen=True)
class Method:
    """A trained network that makes seeds."""

    name: str
    """Names its folder."""
    identity: str
    """Of its weights."""
    network: Maker
    normalisation: tuple[tuple[float, ...], tuple[float, ...]]
    judge: BAS | None = None
    """The network, where its losses can judge thresholds."""


@dataclass(frozen=True)
class Ready:
    """A folder of seeds: our ``.npz``, or IRN's pickled ``.npy`` where its writer is trusted."""

    name: str
    folder: Path
    trusted: bool = False

    @cached_property
    def identity(self) -> str:
        """Of the files, by name, size and time.

        Raises:
            InputError: there is no such folder.
        """
        if not self.folder.is_dir():
            raise InputError(f"--seeds {self.folder} is no folder: check the path.")
        files = sorted(path for path in self.folder.rglob("*.np[yz]"))
        said = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
        return hashlib.sha256(repr(said).encode()).hexdigest()

    def read(self, photo: Photo, place: Path, classes: tuple[str, ...]) -> Seed:
        """The photo's seed; ``place`` is its file's, relative to the folder.

        Raises:
            InputError: it is missing, damaged, of other tags, or pickled and not trusted.
        """
        pickled = next(
            (p for p in (place.with_suffix(".npy"), Path(f"{place.stem}.npy")) if (self.folder / p).is_file()), None
        )
        if pickled and not self.trusted:
            raise InputError(
                f"{self.folder / pickled} is pickled, and reading it runs what its writer put in: "
                "add --trust-pickle if that was you."
            )
        seed = read_irn(self.folder / pickled, classes) if pickled else read_seed(self.folder / place)
        tags = tuple(classes[label] for label in photo.labels)
        if seed.tags != tags:
            raise InputError(
                f"{self.folder / (pickled or place)} has maps of {', '.join(seed.tags) or 'nothing'}, but {photo.name} "
                f"is tagged {', '.join(tags) or 'with nothing'}: make the seeds with the same tags."
            )
        return seed
