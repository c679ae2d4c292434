"""All shards of a work that are asked for: by this process one after the other, or by Ray's side by side."""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..errors import InputError
from ..io import stable_hash
from .parts import Counts, Parts
from .predictor import Predictor
from .sources import Shard, Source, open_source

Done = Callable[[int], None]
"""Told of the number of photos that are through since it was told last."""


class Result(NamedTuple):
    """A shard that is finished."""

    shard: Shard
    counts: Counts
    skipped: bool
    """Whether it had been finished before."""


@dataclass(frozen=True)
class Work:
    """Photos, a model with its settings, and where the parts go.

    Args:
        settings: of :class:`~.predictor.Predictor`.
    """

    source: str
    model: str
    out: str
    of: int
    settings: Mapping[str, Any] = field(default_factory=dict)

    def open(self) -> "OpenWork":
        """The work with its photos listed and its model loaded.

        Raises:
            InputError: no such photos or model.
        """
        return OpenWork(self, open_source(self.source), Predictor(self.model, **self.settings))


@dataclass(frozen=True)
class OpenWork:
    """A work that can be done."""

    work: Work
    source: Source
    predictor: Predictor

    def parts(self, shard: Shard) -> Parts:
        """The folder of parts, for this one."""
        facts = {"source": self.work.source, **self.predictor.work}
        return Parts(self.work.out, facts, stable_hash(self.predictor.work, self.source.names(shard)))

    def finished(self, shard: Shard) -> Result | None:
        """What the part of a shard holds, where it is finished."""
        counts = self.parts(shard).counts(shard)
        return None if counts is None else Result(shard, counts, True)

    def do(self, shard: Shard, done: Done = lambda _: None) -> Result:
        """Make the part of a shard."""
        return Result(shard, self.parts(shard).write(shard, self._rows(shard, done)), False)

    def total(self) -> Counts | None:
        """What all parts hold together; None as long as some are missing."""
        each = []
        for number in range(self.work.of):
            shard = Shard(number, self.work.of)
            try:
                counts = self.parts(shard).counts(shard)
            except InputError:  # of an earlier work, which another process is about to replace
                counts = None
            if counts is None:
                return None
            each.append(counts)
        objects = sum((Counter(one.objects) for one in each), Counter[str]())
        photos, errors = (sum(column) for column in zip(*((one.photos, one.errors) for one in each), strict=True))
        return Counts(photos, errors, dict(sorted(objects.items())))

    def _rows(self, shard: Shard, done: Done) -> Iterator[Mapping[str, Any]]:
        last = None
        for some in self.source.read(shard):
            for row in self.predictor.rows(some):
                done(row["key"] != last)
                last = row["key"]
                yield row


def by_this_process(opened: OpenWork, shards: Sequence[Shard], done: Done = lambda _: None) -> Iterator[Result]:
    """The shards, one after the other."""
    for shard in shards:
        yield opened.do(shard, done)


class Worker:
    """A process of Ray that does shards of :attr:`work`."""

    work: Work

    def __init__(self) -> None:
        self.opened = self.work.open()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Does the shard of a row, unless somebody has finished it meanwhile."""
        shard = Shard(int(row["number"]), self.opened.work.of)
        try:
            _, counts, skipped = self.opened.finished(shard) or self.opened.do(shard)
        except InputError as error:  # in one sentence, and without Ray's traceback
            return {"number": shard.number, "skipped": False, "counts": None, "error": str(error)}
        return {"number": shard.number, "skipped": skipped, "counts": json.dumps(counts), "error": None}


def by_ray(work: Work, shards: Sequence[Shard], address: str | None, processes: int | None) -> Iterator[Result]:
    """The shards on Ray Data, as they are finished.

    Each process takes one of the cluster's CPUs, or one of its GPUs where it has some and the device is not the CPU.

    Args:
        address: of a cluster; None: Ray is started on this machine, and ends with this process.
        processes: how many at once; None: as many as there are GPUs, or else CPUs.

    Raises:
        InputError: Ray is not installed or not reached; what a worker refuses.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError('Ray is not installed: pip install "torch-bas[ray]", or leave out --engine.') from error
    try:
        dashboard = None if address else False
        ray.init(address or "local", include_dashboard=dashboard, configure_logging=False, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(f"There is no Ray at {address}: check --ray-address, or leave it out.") from error
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        resources, device = ray.cluster_resources(), work.settings["compute"].device
        on_gpus = device != "cpu" and resources.get("GPU", 0) >= 1
        many = processes or int(resources["GPU" if on_gpus else "CPU"])
        needs: dict[str, Any] = {"num_gpus": 1, "num_cpus": 0} if on_gpus else {"num_cpus": 1}
        rows = ray.data.from_items([{"number": shard.number} for shard in shards], override_num_blocks=len(shards))
        size = max(1, min(many, len(shards)))
        worker: Any = type("ShardWorker", (Worker,), {"work": work})
        done = rows.map(worker, compute=ray.data.ActorPoolStrategy(size=size), **needs)
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        for row in done.iter_rows():
            if row["error"]:
                raise InputError(row["error"])
            yield Result(Shard(row["number"], work.of), Counts(*json.loads(row["counts"])), row["skipped"])
    finally:
        ray.shutdown()
