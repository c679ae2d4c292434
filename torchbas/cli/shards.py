"""``bas predict --shard``: a part of the photos, by as many processes and machines as there are."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .common import chosen
from .folder import ShardFolder

if TYPE_CHECKING:
    from ..shards.sources import Shard, Source
    from ..shards.work import OpenWork, Result
    from .predict import Predict
    from .progress import Reporter

MOST = 100_000
"""Shards; each has a file."""
READING = ("threshold", "top_k", "input_size")
"""Flags in place of a model's own inference settings."""


def run_shards(command: "Predict") -> dict[str, Any]:
    """Make the parts of the shards that are asked for, but those that are finished.

    Raises:
        InputError: flags that do not go with ``--shard``, and all that :class:`~torchbas.shards.work.Work` refuses.
    """
    numbers, of = shards_in(command.shard or "")
    if command.format != type(command).format:
        raise InputError("--shard writes Parquet files: leave out --format, and let bas export make others of them.")
    if command.tags == ("known",):
        raise InputError("--shard finds tags that are predicted, or named with --tags: photos' own tags are not read.")
    try:
        from ..shards.parts import conclude, number_in
        from ..shards.sources import Shard, is_address
        from ..shards.work import Work
    except ImportError as error:
        raise InputError(f'{error.name} is not installed: pip install "torch-bas[shards]".') from error
    from .. import api, refiners
    from .progress import Reporter

    reporter = Reporter(command.quiet)
    names = ("objects", "min_score", "refine", "refiner_weights", *READING)
    settings: dict[str, Any] = {name: getattr(command, name) for name in names}
    settings["refine"] = settings["refine"] or None
    settings["tags"] = "predicted" if command.tags == ("predicted",) else command.tags
    settings["compute"] = api.Compute(command.device, command.workers, command.precision)
    work = Work(command.data, command.model, command.out, of, settings)
    folder = ShardFolder(None if is_address(command.out) else Path(command.out), command.overwrite)
    opened = work.open()
    command.folder = folder
    folder.begin(set(numbers), of)
    shards = [Shard(number, of) for number in numbers]
    results = [one for shard in shards if (one := opened.finished(shard))] if not command.overwrite else []
    if results:
        reporter.say(f"{len(results)} of {len(shards)} shards were finished before")
    before = {one.shard for one in results}
    left = [shard for shard in shards if shard not in before]
    results += _made(command, opened, left, reporter) if left else []
    answer = {"command": "predict", "words": chosen(command)}
    if number_in(command.out) >= of and (total := opened.total()):
        objects = {"objects": sum(total.objects.values()), "objects_per_tag": total.objects}
        seen = refiners.seen(opened.predictor.localizer.inference)
        told = {
            "shards": of,
            **({"seen": seen} if seen else {}),
            "photos": total.photos,
            "errors": total.errors,
            **objects,
        }
        words = answer["words"] | {"shard": f"0-{of - 1}/{of}"}
        conclude(command.out, answer | {"words": words} | told | _photos_of(opened.source, command.out))
        folder.tidy()
        if "seen" in told:
            reporter.say(told["seen"])
        reporter.say(f"all {of} shards are finished: {told['objects']} objects in {total.photos} photos")
    photos, errors = (sum(getattr(one.counts, name) for one in results) for name in ("photos", "errors"))
    found = sum(sum(one.counts.objects.values()) for one in results)
    unread = f", {errors} could not be read" if errors else ""
    reporter.say(f"{found} objects in {photos} photos{unread}. They are in {command.out}")
    made = {"finished": numbers, "skipped": sorted(one.shard.number for one in results if one.skipped)}
    return answer | made | {"photos": photos, "errors": errors, "objects": found}


def _photos_of(source: "Source", out: str) -> dict[str, str]:
    """The entry of ``run.json`` that leads to photos that are files here."""
    from ..data.results import photo_folder
    from ..shards.sources import Files, is_address

    if not isinstance(source, Files) or is_address(out):
        return {}
    return photo_folder(((one.path, one.name) for one in source.dataset.samples[:1]), Path(out))


def _made(command: "Predict", opened: "OpenWork", shards: "list[Shard]", reporter: "Reporter") -> "list[Result]":
    """The shards, with a progress bar of photos where their number is known, else of shards."""
    from ..shards.work import by_ray, by_this_process

    counts = [opened.source.photos_in(shard) for shard in shards]
    total = sum(count for count in counts if count is not None) if None not in counts else None
    if command.engine == "ray" or total is None:
        with reporter.stage("localizing", "shards") as stage:
            results: Iterator[Result] = (
                by_ray(opened.work, shards, command.ray_address, command.processes)
                if command.engine == "ray"
                else by_this_process(opened, shards)
            )
            return [*stage.each(results, len(shards))]
    with reporter.stage("localizing") as stage:
        return [*by_this_process(opened, shards, lambda more: stage.at(stage.done + more, total))]


def shards_in(word: str) -> tuple[list[int], int]:
    """Numbers of shards and how many there are, from ``3/40`` or ``0-19/40``.

    Raises:
        InputError: anything else.
    """
    found = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?/(\d{1,6})", word)
    if found is None:
        raise InputError(f"--shard {word} is no shard: give one as 3/40, or several as 0-19/40, counted from 0.")
    first, last, of = int(found[1]), int(found[2] or found[1]), int(found[3])
    if not first <= last < of <= MOST:
        raise InputError(f"--shard {word}: of {of} shards there are 0 to {max(of - 1, 0)}, and at most {MOST} in all.")
    return list(range(first, last + 1)), of
