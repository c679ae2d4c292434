"""The first hour of a new user as the terminal shows it, 80 columns wide: docs/first_hour.md.

python benchmarks/first_hour.py

In a new folder, without a network: photos of cats and dogs, of steel, and a folder as phones leave them (drawn). Into
results/speed/first_hour.json: CPU seconds from the start of `bas label` to its first progress.
"""

import fcntl
import os
import pty
import re
import shlex
import shutil
import signal
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyte
from drawn import Design, draw
from PIL import Image
from record import data_folder, record_speed

from torchbas import data

COLUMNS, ROWS, LONGEST = 80, 24, 400
PAGE = Path(__file__).parents[1] / "docs/first_hour.md"
HEAD = """# The first hour

What a new user types and sees, on a terminal of 80 columns and without a network; made by `benchmarks/first_hour.py`.
The photos of cats, dogs and steel are those of the benchmarks, the others are drawn. Times are of two busy CPU cores.
"""
QUICK = "--weights mobilenetv1.pth"


@dataclass
class Terminal:
    """A command in a terminal; what is on the screen, and how long it took."""

    words: list[str]
    folder: Path
    screen: pyte.Screen = field(default_factory=lambda: pyte.Screen(COLUMNS, LONGEST))
    seconds: float = 0.0
    cpu_at_first: float = 0.0
    """CPU seconds until the first progress."""
    frame: str = ""
    """The screen in the midst of training."""

    def run(self, stop: Callable[[str], bool] | None = None) -> str:
        """All that stays on the screen; ``stop`` says of a screen whether Ctrl-C is pressed now."""
        stream, began = pyte.ByteStream(self.screen), time.monotonic()
        number, terminal = pty.fork()
        if not number:
            os.chdir(self.folder)
            fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
            os.environ |= {"TERM": "xterm-256color", "HF_HUB_OFFLINE": "1"}
            os.execvp(self.words[0], self.words)
        for received in _received(terminal):
            stream.feed(received)
            shown = self.shown()
            if "checking photos" in shown and not self.cpu_at_first:
                self.cpu_at_first = _cpu_seconds(number)
            if re.search(r"^training +\d+/\d+ ━━━━━━━━", shown, re.MULTILINE):
                self.frame = self.frame or shown
            if stop and stop(shown):
                os.write(terminal, b"\x03")
                stop = None
        os.waitpid(number, 0)
        os.close(terminal)
        self.seconds = time.monotonic() - began
        return self.shown()

    def shown(self) -> str:
        """The screen as text."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()


def _received(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            received = os.read(terminal, 65536)
        except OSError:  # Linux says so when the last process behind a terminal has ended
            return
        if not received:
            return
        yield received


def _cpu_seconds(number: int) -> float:
    """CPU seconds that a process has used so far."""
    ticks = Path(f"/proc/{number}/stat").read_text().rsplit(") ", 1)[1].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


class Hour:
    """The page, command by command."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.page = folder, [HEAD]

    def say(self, sentence: str) -> None:
        self.page.append(sentence + "\n")

    def type(self, command: str, stop: Callable[[str], bool] | None = None, *, frame: bool = False) -> Terminal:
        """Run a command, and put into the page what it shows, with the screen in the midst of it where asked for."""
        print(command, flush=True)
        words = ["sh", "-c", command] if re.search(r"[|>;]", command) else shlex.split(command)
        terminal = Terminal(words, self.folder)
        shown = terminal.run(stop)
        if frame:
            self.page += ["```text", f"$ {command}", terminal.frame, "```\n", "and at the end:\n"]
        self.page += ["```text", f"$ {command}", *([shown] if shown else []), "```\n"]
        return terminal

    def write(self) -> None:
        PAGE.write_text("\n".join(self.page).rstrip() + "\n", encoding="utf-8")


def photos_by_tag(folder: Path, tags: tuple[str, ...]) -> None:
    """Photos of msrc15 with one of these tags, in a folder of each."""
    dataset = data.read(data_folder() / "msrc15")
    for sample in dataset.samples:
        if len(sample.labels) == 1 and dataset.classes[sample.labels[0]] in tags:
            place = folder / dataset.classes[sample.labels[0]]
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(sample.path, place)


def phone(folder: Path) -> None:
    """A folder as phones leave them: large and turned photos, and what else lies among them."""
    for number, one in enumerate(draw(Design(3, 16, (0.05, 0.3)), 0)):
        place = folder / {"tag00": "Mein Garten", "tag01": "Küche", "tag02": "Auto 2026"}[one.tag]
        place.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = (1, 6, 8)[number % 3]
        one.image.resize((1512, 1134)).save(place / f"IMG_{number:04}.JPG", quality=85, exif=exif)
    first = min(folder.rglob("*.JPG"))
    shutil.copy(first, folder / "Küche")
    (first.parent / "IMG_9998.JPG").write_bytes(first.read_bytes()[:20_000])
    (first.parent / "IMG_9999.JPG").touch()
    (first.parent / "VID_0001.mov").write_bytes(b"\0" * 1000)
    (folder / ".DS_Store").touch()
    (folder / "todo.txt").write_text("sort these")


def main() -> None:
    began = time.monotonic()
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as place:
        hour = Hour(Path(place))
        photos_by_tag(hour.folder / "pets", ("cat", "dog"))
        photos_by_tag(hour.folder / "new", ("cow",))
        no_truth = shutil.ignore_patterns("*.json", "*.md")
        shutil.copytree(data_folder() / "neu300", hour.folder / "steel", ignore=no_truth)
        phone(hour.folder / "phone")
        shutil.copy(data_folder() / "weights/mobilenetv1_imagenet_fp16.pth", hour.folder / "mobilenetv1.pth")
        shutil.copy(data_folder() / "weights/resnet50_imagenet_fp16.pth", hour.folder / "resnet50.pth")
        metrics = walk(hour)
        hour.write()
    protocol = (
        "seconds of `bas label` in a terminal, photos of cats and dogs: first_progress_cpu: CPU time from its start "
        "until it shows the first progress; check, label: wall clock of the commands, on a busy machine"
    )
    record_speed("first_hour", data="msrc15's cats and dogs", protocol=protocol, metrics=metrics, began=began)


def walk(hour: Hour) -> dict[str, float]:
    """The hour itself; what was measured."""
    hour.say("## What is there")
    hour.type("bas")
    hour.type("bas label photos/ --out labels/")
    hour.say("## Cats and dogs")
    check = hour.type("bas check pets/")
    hour.say("The weights that the first `bas label` fetches cannot be had without a network:")
    hour.type("bas label pets/ --out labels/")
    hour.type(f"bas label pets/ --out labels/ --recipe quik {QUICK}")
    hour.type("bas label pets/ --out labels/ --weights resnet50.pth")
    hour.say("With the right file, and Ctrl-C in the midst of it:")
    stopped = hour.type(
        f"bas label pets/ --out labels/ {QUICK}", lambda shown: bool(re.search(r"^training +[6-9]\d/", shown, re.M))
    )
    hour.type(f"bas label pets/ --out labels/ {QUICK}")
    label = hour.type(f"bas label pets/ --out labels/ {QUICK} --resume", frame=True)
    hour.type("ls labels/ labels/model/")
    hour.say("New photos of other things, and of the same:")
    hour.type("bas predict new/ --model labels/ --tags predicted --out found/")
    hour.type("bas predict pets/cat/ --model labels --tags tiger --out tigers/")
    hour.type("bas predict pets/cat/ --model labels --tags cat --out cats/ --format yolo")
    hour.say("## Steel, with nobody looking")
    hour.type("bas check steel/")
    hour.type(f"bas label steel/ --out steel_labels/ {QUICK} > log.txt 2>&1; cat log.txt")
    hour.say("## A folder as phones leave them")
    hour.type("bas check phone/")
    hour.type(f"bas label phone/ --out phone_labels/ {QUICK}")
    hour.type(f"bas label phone/ --out phone/labels/ {QUICK}")
    return {
        "first_progress_cpu": round(stopped.cpu_at_first, 2),
        "check": round(check.seconds, 1),
        "label": round(stopped.seconds + label.seconds, 1),
    }


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    main()
