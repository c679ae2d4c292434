"""Commands killed, stopped or robbed at random moments: how they end, and what the same command ends with afterwards.

It is compared with a run that nobody disturbed: all files but those that hold times.
"""

import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
    "label corrected": (
        "label {in}/photos --out {out} --save-every 1 --corrected {in}/corrections.json",
        "--resume",
    ),
    "predict": ("predict {in}/photos --model {in}/model --out {out} --quiet --offline", "--overwrite"),
    "segment": (SEGMENT, ""),
    "eval": ("eval {in}/photos --maps {in}/maps --out {out} --quiet", "--resume"),
}
STEPS = "6"
MOST = 3
"""Disturbances before the command may come to its end."""
EARLIEST = 0.05
"""Seconds until a process has begun its command."""
SMALLEST, LARGEST = 2, 22
"""Powers of two of the bytes that a file may have on a disk without room."""
PASSING = ("events.out.tfevents.", ".torchbas")
"""Starts of the names of files that hold times, or nothing."""
TIMES = ("seconds", "words")
"""Entries of ``run.json`` and ``scores.json`` that differ: how long it took, and the flag that was added."""
Files = dict[str, Any]


class Running:
    """A process that runs a command; what it says is kept until ``ended``."""

    def __init__(self, words: Sequence[str], room: int | None = None) -> None:
        self.reads, said = os.pipe()
        self.number = os.fork()
        if self.number:
            os.close(said)
            return
        for stream in (1, 2):
            os.dup2(said, stream)
        if room is not None:  # as a full disk: a file that grows beyond it cannot be written
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        sys.argv, code = ["bas", *words], 1
        try:
            code = main()  # without words of its own it raises nothing
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def wait_at_most(self, seconds: float) -> None:
        """Wait, unless the command ends before."""
        until, peek = time.monotonic() + seconds, os.WEXITED | os.WNOHANG | os.WNOWAIT
        while time.monotonic() < until and os.waitid(os.P_PID, self.number, peek) is None:
            time.sleep(0.002)

    def ended(self) -> tuple[int, str]:
        """The exit code, negative where a signal ended it, and what was said."""
        with os.fdopen(self.reads, errors="replace") as file:
            said = file.read()
        return os.waitstatus_to_exitcode(os.waitpid(self.number, 0)[1]), said


class Scene(NamedTuple):
    """What can be disturbed."""

    running: Running
    words: list[str]
    inputs: Path
    out: Path
    rng: np.random.Generator


def _photo(scene: Scene) -> Path:
    photos = sorted((scene.inputs / "photos").rglob("*.jpg"))
    return photos[scene.rng.integers(len(photos))]


def _nobody_reads(scene: Scene) -> None:
    os.close(scene.running.reads)
    scene.running.reads = os.open(os.devnull, os.O_RDONLY)


def _out_gone(scene: Scene) -> None:
    if scene.out.exists():  # at once, as a file manager does
        shutil.rmtree(scene.out.rename(scene.out.with_name("trash")))


def _second(scene: Scene) -> None:
    code, said = Running(scene.words).ended()
    assert code in (0, 2), f"the second ended with {code}: {said}"
    assert "Traceback" not in said, said


class Disturbance(NamedTuple):
    """What is done to a running command, and the exit codes that it may end with."""

    act: Callable[[Scene], object]
    codes: tuple[int, ...]
    restored: bool = True
    """Whether the same command must end with equal files afterwards."""


DISTURBANCES = {
    "kill": Disturbance(lambda scene: os.kill(scene.running.number, signal.SIGKILL), (0, -signal.SIGKILL)),
    "interrupt": Disturbance(lambda scene: os.kill(scene.running.number, signal.SIGINT), (0, 130)),
    "terminate": Disturbance(lambda scene: os.kill(scene.running.number, signal.SIGTERM), (0, 130)),
    "nobody reads": Disturbance(_nobody_reads, (0,)),
    "no room": Disturbance(lambda _: None, (0, 2)),
    "second process": Disturbance(_second, (0, 2)),
    "photo gone": Disturbance(lambda scene: _photo(scene).unlink(), (0, 2), restored=False),
    "photo broken": Disturbance(lambda scene: _photo(scene).write_bytes(b"no photo"), (0, 2), restored=False),
    "out gone": Disturbance(_out_gone, (0, 2)),
}


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
    return words + (tiny if words[0] in ("train", "label") else [])


def _disturbed(what: str, scene: Scene, after: float) -> str:
    """What must not be after a disturbance; empty where all is well."""
    scene.running.wait_at_most(after)
    disturbance = DISTURBANCES[what]
    try:
        disturbance.act(scene)
    except AssertionError as error:
        scene.running.ended()
        return str(error)
    code, said = scene.running.ended()
    if code not in disturbance.codes:
        return f"exit {code}: {said[-300:]}"
    lines = [line for line in said.splitlines() if line.startswith("bas: ")]
    if "Traceback" in said or (code == 2 and len(lines) != 1):
        return f"said {said[-300:]}"
    return ""


def campaign(
    numbers: Sequence[int], seed: int, place: Path, kinds: Sequence[str]
) -> Iterator[tuple[int, str, Outcome, float]]:
    """Number, command and disturbance, how it ended, and seconds of each case."""
    pipeline.BACKBONE = "test_resnet"
    torch.set_num_threads(1)
    made, inputs, out, names = place / "made", place / "in", place / "out", list(COMMANDS)
    made.mkdir()
    campaign_commands.make_apart(made)
    whole: dict[str, tuple[Files, float]] = {}
    for number in numbers:
        rng, began = np.random.default_rng((seed, number)), time.perf_counter()
        name, kind = names[rng.integers(len(names))], kinds[int(rng.integers(len(kinds)))]
        shutil.rmtree(inputs, ignore_errors=True)
        shutil.copytree(made, inputs)
        words, again = _words(name, inputs, out), COMMANDS[name][1].split()
        if name not in whole:  # in the same place, for run.json and fingerprints hold paths
            assert Running(words).ended()[0] == 0, name
            whole[name] = outputs(out), time.perf_counter() - began
            shutil.rmtree(out)
        expected, lasts = whole[name]
        wrong = ""
        for attempt in range(rng.integers(1, MOST + 1)):
            given = [*words, *(again if attempt else [])]
            room = 2 ** int(rng.uniform(SMALLEST, LARGEST)) if kind == "no room" else None
            scene = Scene(Running(given, room), given, inputs, out, rng)
            wrong = _disturbed(kind, scene, max(EARLIEST, rng.uniform(0, lasts)))
            if wrong:
                break
        if kind == "out gone":  # what a command has written since is in nobody's folder: it is refused, and removed
            shutil.rmtree(out, ignore_errors=True)
        if not wrong and DISTURBANCES[kind].restored:
            code, said = Running([*words, *again]).ended()
            found = outputs(out) if out.is_dir() else {}
            other = sorted(file for file in expected | found if expected.get(file) != found.get(file))
            wrong = f"then exit {code}: {said[-300:]}" if code else f"other {other[:3]}" if other else ""
        shutil.rmtree(out, ignore_errors=True)
        outcome = Outcome("wrong", wrong) if wrong else Outcome("well")
        yield number, f"{name}, {kind}", outcome, time.perf_counter() - began
