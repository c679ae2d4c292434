"""Damaged and malicious input by the ten thousand, kills and mishaps at random moments: ``results/robustness/``.

    python benchmarks/campaign.py readers --count 100000 --seed 0
    python benchmarks/campaign.py commands --count 1000 --seed 0
    python benchmarks/campaign.py kills --count 100 --seed 0
    python benchmarks/campaign.py disturbances --count 100 --seed 0

Every case depends on the seed and its number alone; ``--first N`` makes case N and those after it again.
"""

import argparse
import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS / "hostile"), str(TESTS)]

from record import record  # noqa: E402
from sandbox import KINDS, PATIENCE, Outcome  # noqa: E402

BLOCK = 500
"""Cases in one process: one that dies takes no other case with it, and what a case leaves behind ends with it."""
RARE = {"model": 0.03, "training": 0.3, "weights": 0.5}
"""Share of the cases of a slow reader, by the start of its name, beside 1 for the others."""
Run = Callable[[int], tuple[str, Outcome]]
"""From the number of a case to what was tried and how it ended."""


class Case(NamedTuple):
    """One case and how it ended."""

    number: int
    what: str
    outcome: Outcome
    seconds: float


def _block(connection: Connection, numbers: Sequence[int], run: Run) -> None:
    """The child's side: cases one by one, each reported before the next begins."""
    silent = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # decoders in C write to it
        os.dup2(silent, stream)
    for number in numbers:
        start = time.perf_counter()
        what, outcome = run(number)
        connection.send(Case(number, what, outcome, time.perf_counter() - start))


def isolated(numbers: Sequence[int], run: Run, what: Callable[[int], str], patience: float) -> Iterator[Case]:
    """The cases in processes of their own; one that ends a process is ``killed``, one that blocks it a ``hang``.

    A hang is one that is there again in a new process: the machine may have been busy.
    """
    left, again = list(numbers), set[int]()
    while left:
        block = left[:BLOCK]
        ours, theirs = get_context("fork").Pipe()
        process = get_context("fork").Process(target=_block, args=(theirs, block, run))
        process.start()
        theirs.close()
        done = 0
        for number in block:
            try:
                case = ours.recv() if ours.poll(patience) else Case(number, what(number), Outcome("hang"), patience)
            except EOFError:
                process.join()
                case = Case(number, what(number), Outcome("killed", f"exit code {process.exitcode}"), 0)
            ends = case.outcome.kind in ("killed", "hang")
            if case.outcome.kind != "hang" or number in again:
                done += 1
                yield case
            if ends:
                again.add(number)
                process.kill()
                break
        process.join()
        left = left[done:]


def _name(seed: int, number: int) -> str:
    import readers

    names = list(readers.MAKERS)
    shares = np.array([RARE.get(name.partition("_")[0], 1) for name in names])
    return names[np.random.default_rng((seed, number)).choice(len(names), p=shares / shares.sum())]


def _read(seed: int, number: int, place: Path) -> tuple[str, Outcome]:
    import readers

    name = _name(seed, number)
    files, folder = readers.case(name, np.random.default_rng((seed, number, 1))), place / name
    outcome = readers.check(name, files, folder)
    for left in folder.iterdir():  # the folder is used again, for making and removing one takes longer than reading it
        if left.is_file() and left.name not in files:
            left.unlink()
    return name, outcome


def readers_campaign(numbers: Sequence[int], seed: int) -> Iterator[Case]:
    """Mutated files of every kind through the function that reads it."""
    import readers

    for name in readers.MAKERS:  # once as it is, which also imports what the reader needs
        with tempfile.TemporaryDirectory() as folder:
            outcome = readers.check(name, readers.kind_of(name).files, Path(folder))
            assert outcome.kind == "read", (name, outcome)
    with tempfile.TemporaryDirectory() as place:
        run = lambda number: _read(seed, number, Path(place))  # noqa: E731
        yield from isolated(numbers, run, lambda number: _name(seed, number), 3 * PATIENCE)


def commands_campaign(numbers: Sequence[int], seed: int) -> Iterator[Case]:
    """Mutated folders, lists, cards, weights and flags through the command line."""
    import campaign_commands

    with tempfile.TemporaryDirectory() as place:
        run, what = campaign_commands.prepare(Path(place), seed)
        yield from isolated(numbers, run, what, campaign_commands.PATIENCE)


def kills_campaign(numbers: Sequence[int], seed: int) -> Iterator[Case]:
    """Commands killed at a random moment, run again, and compared with those that were not."""
    yield from _disturbed(numbers, seed, ("kill",))


def disturbances_campaign(numbers: Sequence[int], seed: int) -> Iterator[Case]:
    """Commands disturbed in every other way, run again, and compared with those that were not."""
    from campaign_disturbances import DISTURBANCES

    yield from _disturbed(numbers, seed, [kind for kind in DISTURBANCES if kind != "kill"])


def _disturbed(numbers: Sequence[int], seed: int, kinds: Sequence[str]) -> Iterator[Case]:
    import campaign_disturbances

    with tempfile.TemporaryDirectory() as place:
        yield from (Case(*case) for case in campaign_disturbances.campaign(numbers, seed, Path(place), kinds))


class Campaign(NamedTuple):
    """A campaign, what it does in words, and the outcomes that may be."""

    run: Callable[[Sequence[int], int], Iterator[Case]]
    protocol: str
    good: tuple[str, ...]


CAMPAIGNS = {
    "readers": Campaign(
        readers_campaign,
        "one to three mutations of one file of a kind, rarely of two, then the function that reads it",
        ("read", "refused"),
    ),
    "commands": Campaign(
        commands_campaign,
        "one to three mutations of a command's input or flags, then torchbas.cli.main",
        ("exit 0", "exit 2"),
    ),
    "kills": Campaign(
        kills_campaign,
        "SIGKILL at a random moment of a command, once to three times, then the command to its end",
        ("well",),
    ),
    "disturbances": Campaign(
        disturbances_campaign,
        "a signal, a reader who goes, a disk without room, a second process, a photo or the results removed, at a "
        "random moment of a command, once to three times, then the command to its end",
        ("well",),
    ),
}


def tabulated(cases: Sequence[Case]) -> dict[str, dict[str, int]]:
    """How often what was tried ended in each way."""
    groups: dict[str, Counter[str]] = {}
    for case in cases:
        groups.setdefault(case.what, Counter())[case.outcome.kind] += 1
    return {what: dict(groups[what]) for what in sorted(groups)}


def bad(cases: Sequence[Case], good: Sequence[str]) -> list[dict[str, Any]]:
    """A case of each kind, place and sentence that must not be."""
    found: dict[tuple[str, str, str], Case] = {}
    for case in cases:
        if case.outcome.kind not in good:
            found.setdefault((case.what, case.outcome.kind, case.outcome.said.partition(":")[0]), case)
    return [
        {"case": case.number, "what": case.what, "outcome": case.outcome.kind, "said": case.outcome.said}
        for case in found.values()
    ]


def show(counts: dict[str, dict[str, int]]) -> None:
    """The counts as a table."""
    kinds = list(dict.fromkeys(kind for one in counts.values() for kind in one))
    kinds.sort(key=lambda kind: KINDS.index(kind) if kind in KINDS else -1)
    total = {kind: sum(one.get(kind, 0) for one in counts.values()) for kind in kinds}
    print("".join(f"{word:>16}" for word in ("", *kinds)))
    for what, one in [*counts.items(), ("all", total)]:
        print(f"{what[-24:]:>24}"[-24:] + "".join(f"{one.get(kind, 0):>16,}" for kind in kinds))


def main() -> int:
    """One campaign; exit code 1 where anything happened that must not."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=CAMPAIGNS)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case; then nothing is recorded")
    given = parser.parse_args()
    torch.set_num_threads(1)
    run, protocol, good = CAMPAIGNS[given.what]
    cases: list[Case] = []
    start = time.monotonic()
    try:
        for case in run(range(given.first, given.first + given.count), given.seed):
            cases.append(case)
            if case.outcome.kind not in good:
                print(f"case {case.number}, {case.what}: {case.outcome.kind} {case.outcome.said}", flush=True)
    except KeyboardInterrupt:
        print("stopped")
    counts, wrong = tabulated(cases), bad(cases, good)
    show(counts)
    if given.first == 0 and cases:
        path = record(
            "robustness",
            given.what,
            data="files that tests/hostile makes",
            recipe="",
            protocol=protocol,
            split="none",
            threshold=None,
            metrics={"cases": len(cases), **Counter(case.outcome.kind for case in cases)},
            seed=given.seed,
            by_kind=counts,
            wrong=wrong,
            slowest_seconds=round(max(case.seconds for case in cases), 2),
            seconds=round(time.monotonic() - start),
            peak_megabytes=round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
        )
        print(f"{path.relative_to(path.parents[2])}: {len(cases):,} cases, {len(wrong)} kinds of fault")
    return 1 if wrong else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    sys.exit(main())
