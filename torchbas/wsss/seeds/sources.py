"""Sources of seeds: trained networks, and folders that another program has filled."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ...errors import InputError
from ...io import stable_hash
from ...methods.base import Method
from ...structures import Sample
from .files import Seed, read_irn, read_seed


@dataclass(frozen=True)
class SeedNetwork:
    """A trained method whose maps are seeds."""

    name: str
    """Of its folder of seeds."""
    method: Method

    @cached_property
    def fingerprint(self) -> str:
        """Of the method, its options and its weights."""
        weights = hashlib.sha256()
        for tensor in self.method.state_dict().values():
            weights.update(tensor.cpu().numpy().tobytes())
        return stable_hash(self.method.name, self.method.card(), weights.hexdigest())


@dataclass(frozen=True)
class SeedFolder:
    """A folder of seeds: our ``.npz``, or IRN's pickled ``.npy``."""

    name: str
    folder: Path

    @cached_property
    def fingerprint(self) -> str:
        """Of the files, by name, size and time.

        Raises:
            InputError: there is no such folder.
        """
        if not self.folder.is_dir():
            raise InputError(f"--seeds {self.folder} is no folder: check the path.")
        files = [(path, path.stat()) for path in sorted(self.folder.rglob("*.np[yz]"))]
        return stable_hash([(path.name, info.st_size, info.st_mtime_ns) for path, info in files])

    def check(self, sample: Sample, path: Path, classes: tuple[str, ...]) -> None:
        """Raise what :attr:`fingerprint` and :meth:`read` would raise for this sample, before anything is written."""
        assert self.fingerprint
        self.read(sample, path, classes)

    def read(self, sample: Sample, path: Path, classes: tuple[str, ...]) -> Seed:
        """The sample's seed; ``path`` is its file's, relative to the folder.

        Raises:
            InputError: it is missing, damaged, or of other tags.
        """
        pickles = path.with_suffix(".npy"), Path(f"{path.stem}.npy")
        pickled = next((place for place in pickles if (self.folder / place).is_file()), None)
        seed = read_irn(self.folder / pickled, classes) if pickled else read_seed(self.folder / path)
        tags = tuple(classes[label] for label in sample.labels)
        if seed.tags != tags:
            raise InputError(
                f"{self.folder / (pickled or path)} has maps of {', '.join(seed.tags) or 'nothing'}, but {sample.name} "
                f"is tagged {', '.join(tags) or 'with nothing'}: make the seeds with the same tags."
            )
        return seed


SeedSource = SeedNetwork | SeedFolder
