"""One Ctrl-C ends a command, whatever it is doing, with the exit code 130 and how to go on."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from torchbas.cli import _stopped
from torchbas.cli.common import Common
from torchbas.cli.folder import OutputFolder
from torchbas.cli.interrupts import interruptible

START = """
import hashlib, sys, threading, time
from torchbas.cli import interrupts
def say():
    print("busy", flush=True)
"""
SWALLOWED = """
interrupts.PATIENCE = (0.2, 60)
try:
    with interrupts.interruptible(lambda: "Stopped. Go on."):
        say()
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            time.sleep(60)
except KeyboardInterrupt:
    sys.exit(3)
"""
DEAF = """
interrupts.PATIENCE = (0.2, 0.2, 0.2)
with interrupts.interruptible(lambda: "Stopped. Go on."):
    threading.Timer(0.5, say).start()  # by then the compiled code runs
    hashlib.pbkdf2_hmac("sha512", b"compiled code that does not look", b"for signals", 10**9)
"""
POOL = """
from pathlib import Path
from torchbas.data import checks
from torchbas.structures import Dataset, Sample
from torchbas.cli import main
checks._fault = lambda sample: say() or time.sleep(0.2) or checks._Fault()
def run(self):
    checks.inspect(Dataset(Path(), ("a",), tuple(Sample(Path(f"{n}"), f"{n}", (0,)) for n in range(4000))), 2)
from torchbas.cli.check import Check
Check.run = run
sys.exit(main(["check", "photos"]))
"""

WORKER = """
import os, signal
interrupts.PATIENCE = (0.1,)
with interrupts.interruptible(lambda: "Stopped. Go on."):
    if not (worker := os.fork()):
        time.sleep(60)
    time.sleep(0.5)
    os.kill(worker, signal.SIGTERM)
    assert os.waitpid(worker, 0)[1] == signal.SIGTERM
    time.sleep(1)
"""


def interrupted(program: str, number: int = signal.SIGINT) -> tuple[int, str]:
    """Exit code and stderr of a program that is interrupted once, when it is busy."""
    command = [sys.executable, "-c", START + program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "busy\n"
            process.send_signal(number)
            said = process.communicate(timeout=60)[1]
        finally:
            process.kill()
    return process.returncode, said


def test_an_interrupt_that_was_swallowed_is_repeated():
    assert interrupted(SWALLOWED) == (3, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_that_does_not_listen_is_ended_with_a_sentence(number):
    assert interrupted(DEAF, number) == (130, "bas: Stopped. Go on.\n")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_worker_that_is_ended_interrupts_nobody_else():
    done = subprocess.run([sys.executable, "-c", START + WORKER], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_photos_that_wait_to_be_checked_are_not_waited_for():
    code, said = interrupted(POOL)
    assert (code, said) == (130, "bas: Stopped. Nothing was written: run the same command again.\n")


def test_signals_are_the_programs_own_again_afterwards():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with interruptible(str):
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_other_threads_run_commands_too():
    seen = []

    def work():
        with interruptible(str):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


@pytest.mark.parametrize(
    ("flags", "written", "says"),
    [
        ({"resume": False, "overwrite": False}, False, "Nothing was written: run the same command again."),
        ({"resume": False, "overwrite": False}, True, "Go on with the same command and --resume."),
        (
            {"resume": False, "overwrite": True},
            True,
            "Go on with the same command and --resume instead of --overwrite.",
        ),
        ({"resume": True, "overwrite": False}, True, "Go on with the same command."),
        ({"overwrite": False}, True, "Go on with the same command and --overwrite."),
        ({"overwrite": True}, True, "Go on with the same command."),
    ],
)
def test_how_to_go_on_is_said(flags, written, says, tmp_path):
    command = Common()
    vars(command).update(flags)
    command.folder = OutputFolder(tmp_path / "out", overwrite=flags["overwrite"], resume=flags.get("resume"))
    if written:
        command.folder.begin()
        (tmp_path / "out/boxes.json").touch()
    command.folder.close()
    assert _stopped(command) == f"Stopped. {says}"
