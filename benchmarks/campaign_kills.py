"""Commands killed at random moments: what the same command ends with afterwards, beside a run that nobody killed."""

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import campaign_commands
import numpy as np
import torch
from sandbox import Outcome

from torchbas.cli import main
from torchbas.wsss import pipeline

SEGMENT = (
    "segment {in}/photos --model {in}/model --out {out} --until segmenter --scales 1 --refine none --quiet --offline "
    "--segmenter-network deeplabv2_tiny --segmenter-weights none --segmenter.steps 2 --segmenter.crop 33"
)
COMMANDS = {  # with what the user adds to run it again
    "train": ("train {in}/photos --out {out} --save-every 1", "--resume"),
    "label": ("label {in}/photos --out {out} --save-every 1", "--resume"),
    "predict": ("predict {in}/photos --model {in}/model --out {out} --quiet --offline", "--overwrite"),
    "segment": (SEGMENT, ""),
    "eval": ("eval {in}/photos --maps {in}/maps --out {out} --quiet", "--resume"),
}
STEPS = "6"
MOST = 3
"""Kills before the command may come to its end."""
PASSING = ("events.out.tfevents.", ".torchbas")
"""Starts of the names of files that hold times, or nothing."""
TIMES = ("seconds", "words")
"""Entries of ``run.json`` and ``scores.json`` that differ: how long it took, and the flag that was added."""
Files = dict[str, Any]


def _start(words: Sequence[str]) -> int:
    """A process that runs a command; its number."""
    number = os.fork()
    if number:
        return number
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    code = 1
    try:
        code = main(list(words))
    finally:
        os._exit(code)


def _finished(words: Sequence[str]) -> int:
    """The exit code of a command."""
    return os.waitstatus_to_exitcode(os.waitpid(_start(words), 0)[1])


def _killed(words: Sequence[str], after: float) -> bool:
    """Whether the command was still running when it was killed after so many seconds."""
    number = _start(words)
    time.sleep(after)
    os.kill(number, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) == -signal.SIGKILL


def outputs(folder: Path) -> Files:
    """What a command has left, without times."""
    files: Files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith(PASSING):
            content: Any = path.read_bytes()
            if path.name in ("run.json", "scores.json"):
                content = {key: value for key, value in json.loads(content).items() if key not in TIMES}
            files[path.relative_to(folder).as_posix()] = content
    return files


def _words(name: str, inputs: Path, out: Path) -> list[str]:
    words = COMMANDS[name][0].format(**{"in": inputs, "out": out}).split()
    tiny = campaign_commands.TINY.split()
    tiny[tiny.index("--steps") + 1] = STEPS
    return words + (tiny if name in ("train", "label") else [])


def campaign(numbers: Sequence[int], seed: int, place: Path) -> Iterator[tuple[int, str, Outcome, float]]:
    """Number, command, how it ended and seconds of each case."""
    pipeline.BACKBONE = "test_resnet"
    torch.set_num_threads(1)
    inputs, names = place / "in", list(COMMANDS)
    inputs.mkdir()
    campaign_commands.make_apart(inputs)
    whole: dict[str, tuple[Files, float]] = {}
    for number in numbers:
        rng, began = np.random.default_rng((seed, number)), time.perf_counter()
        name, out = names[rng.integers(len(names))], place / "out"
        if name not in whole:  # in the same place, for run.json and fingerprints hold paths
            assert _finished(_words(name, inputs, out)) == 0, name
            whole[name] = outputs(out), time.perf_counter() - began
            shutil.rmtree(out)
        expected, lasts = whole[name]
        words, again = _words(name, inputs, out), COMMANDS[name][1]
        kills = 0
        for attempt in range(rng.integers(1, MOST + 1)):
            if not _killed([*words, *([again] if attempt and again else [])], rng.uniform(0, lasts)):
                break
            kills += 1
        code = _finished([*words, *([again] if again else [])])
        found = outputs(out) if out.is_dir() else {}
        shutil.rmtree(out, ignore_errors=True)
        other = sorted(file for file in expected | found if expected.get(file) != found.get(file))
        if code:
            outcome = Outcome(f"exit {code}", f"after {kills} kills")
        else:
            outcome = (
                Outcome("other", f"{other[0]} and {len(other) - 1} more") if other else Outcome("equal", f"{kills}")
            )
        yield number, name, outcome, time.perf_counter() - began
