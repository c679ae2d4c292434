"""`bas predict --shard` killed again and again: is any row lost, or twice, or different?

python benchmarks/shards.py [--photos 20000] [--shards 40] [--kills 10] [--side 112] [--speed]

A network of small input is trained on some photos of cub25, and predicts hard links of all of them: once undisturbed by
one process, then by two processes at once and by Ray, each killed (SIGKILL) at random moments and started again until
all parts are there. Every name must be there once, and every part bit-equal to the undisturbed one. Writes
results/speed/shards.json; --speed measures how fast all three are without kills, and writes shards_speed.json.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from record import data_folder, record_speed

import torchbas as tb
from torchbas import data

PROGRAM = "import sys; from torchbas.cli import main; sys.exit(main(sys.argv[1:]))"
PAUSE = (4.0, 60.0)
"""Least and most seconds from a start to the next kill."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=20_000)
    parser.add_argument("--shards", type=int, default=40)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--side", type=int, default=112)
    parser.add_argument("--speed", action="store_true")
    words = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch), words.shards, words.side)
        bench.prepare(words.photos)
        kills = "start-up included" if words.speed else f"{words.kills} kills of each command"
        record_speed(
            "shards_speed" if words.speed else "shards",
            data=f"{words.photos} hard links of photos of cub25 in {words.shards} shards",
            protocol=f"MobileNetV1 at {words.side} pixels, {kills}, one thread a process",
            metrics=bench.speed() if words.speed else bench.killed(words.kills),
            began=began,
        )


class Bench:
    """Photos, a model, and commands that predict them in shards."""

    def __init__(self, folder: Path, shards: int, side: int) -> None:
        self.folder, self.shards, self.side, self.random = folder, shards, side, random.Random(0)

    def prepare(self, count: int) -> None:
        """Draw up the photos and train the model."""
        dataset = data.read(data_folder() / "cub25").only("train")
        paths = [sample.path for sample in dataset.samples]
        (self.folder / "photos").mkdir()
        for number in range(count):
            place = self.folder / "photos" / f"{number:06}.jpg"
            if number < len(paths):
                shutil.copy(paths[number], place)
            else:
                os.link(self.folder / "photos" / f"{number % len(paths):06}.jpg", place)
        weights = data_folder() / "weights" / "mobilenetv1_imagenet_fp16.pth"
        size: dict[str, Any] = {"resize": self.side, "crop": self.side, "enlarge": "never", "refine": ()}
        tb.label(dataset, self.folder / "model", weights=weights, steps=60, **size)

    def start(self, out: str, shard: str, *more: str) -> subprocess.Popen:
        """Begin a command, as the leader of a group of processes."""
        words = ["predict", self.folder / "photos", "--model", self.folder / "model", "--out", self.folder / out]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", PROGRAM, *map(str, words), "--shard", f"{shard}/{self.shards}", *more]
        return subprocess.Popen([*command, "--quiet"], start_new_session=True, env=environment)

    def killed(self, kills: int) -> dict[str, float]:
        """The undisturbed run and the two that are killed, compared."""
        last = self.shards - 1
        whole = self.start("whole", f"0-{last}")
        memory = self.watched("whole", whole)
        half = self.shards // 2
        lost = self.until_done("two", kills, [[f"0-{half - 1}"], [f"{half}-{last}"]])
        lost_by_ray = self.until_done("ray", kills, [[f"0-{last}", "--engine", "ray", "--processes", "2"]])
        told: dict[str, float] = {f"memory_mb_after_{number}": memory[number - 1] for number in (1, len(memory) // 2)}
        told |= {"memory_mb_at_the_end": memory[-1], "memory_mb_at_most": max(memory)}
        for out, kills_of in (("whole", 0), ("two", lost), ("ray", lost_by_ray)):
            told |= {f"{out}_{name}": value for name, value in {"kills": kills_of, **self.compared(out)}.items()}
        return told

    def watched(self, out: str, process: subprocess.Popen) -> list[int]:
        """Resident megabytes of a process each time that a part has come."""
        seen: list[int] = []
        while process.poll() is None:
            if len(self.parts(out)) > len(seen):
                pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
                seen.append(pages * os.sysconf("SC_PAGE_SIZE") >> 20)
            time.sleep(0.2)
        if process.returncode:
            raise SystemExit(f"{out} ended with {process.returncode}")
        return seen

    def until_done(self, out: str, kills: int, commands: Sequence[Sequence[str]]) -> int:
        """Run commands side by side, each killed at random moments, and started again until it ends well; the kills."""
        done, times = 0, [self.random.uniform(*PAUSE) for _ in range(kills)]
        running = {place: self.start(out, *words) for place, words in enumerate(commands)}
        left = {place: list(times) for place in running}
        due = {place: time.monotonic() + left[place].pop() for place in running}
        while running:
            for place, process in [*running.items()]:
                if process.poll() is not None:
                    if process.returncode:
                        raise SystemExit(f"{out} ended with {process.returncode}")
                    del running[place]
                elif due[place] is not None and time.monotonic() > due[place]:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                    done += 1
                    running[place] = self.start(out, *commands[place])
                    due[place] = time.monotonic() + left[place].pop() if left[place] else float("inf")
            time.sleep(0.1)
        return done

    def parts(self, out: str) -> list[Path]:
        """Parts that are there."""
        return sorted((self.folder / out).glob("part-*.parquet"))

    def compared(self, out: str) -> dict[str, int]:
        """Names that are missing and that have come twice, and parts that differ from the undisturbed ones."""
        keys = (pq.read_table(path, columns=["key"])["key"].to_pylist() for path in self.parts(out))
        names = Counter(name for some in keys for name in some)  # of the largest thing alone there is one row a photo
        expected = {path.name for path in (self.folder / "photos").iterdir()}
        whole = {path.name: path.read_bytes() for path in self.parts("whole")}
        different = sum(whole[path.name] != path.read_bytes() for path in self.parts(out))
        told = {"missing": len(expected - set(names)), "twice": sum(count > 1 for count in names.values())}
        return {"parts": len(self.parts(out)), "photos": len(names), **told, "different_parts": different}

    def speed(self) -> dict[str, float]:
        """Photos a second: by one process, by two, and by two of Ray."""
        last, half = self.shards - 1, self.shards // 2
        ways = {
            "one": [[f"0-{last}"]],
            "two": [[f"0-{half - 1}"], [f"{half}-{last}"]],
            "ray_of_two": [[f"0-{last}", "--engine", "ray", "--processes", "2"]],
        }
        photos, found = len(list((self.folder / "photos").iterdir())), {}
        for name, commands in ways.items():
            began = time.monotonic()
            for process in [self.start(f"speed_{name}", *words) for words in commands]:
                process.wait()
            found[f"{name}_photos_per_second"] = round(photos / (time.monotonic() - began), 1)
        return found


if __name__ == "__main__":
    main()
