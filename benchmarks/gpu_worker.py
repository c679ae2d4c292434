"""The process that runs the rows of gpu.py, and its keeper: a row that hangs or crashes takes no other with it."""

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

from gpu_place import Place
from gpu_rows import Row

START = 120.0
"""Seconds that a new process may take to import torch and to find the device."""
LONGEST = 300
"""Letters of an error."""
Answer = dict[str, Any]
"""``metrics`` and ``seconds`` of a row, or its ``error`` in one line."""


class Worker:
    """A process with the device, started again after a row that failed there: CUDA does not recover from all errors."""

    def __init__(self, place: Place) -> None:
        self.place, self.process, self.pipe = place, None, None

    def run(self, row: Row, limit: float) -> Answer:
        """What a row answers within ``limit`` seconds, not counting the start of a process."""
        started = self.start()
        if "error" in started:
            return started
        assert self.pipe is not None
        self.pipe.send(row)
        answer = self.answer(limit)
        if "error" in answer and self.place.on_gpu:
            self.stop()
        return answer

    def start(self) -> Answer:
        """Start the process where there is none; what it runs on, as ``hardware``."""
        if self.process is None:
            # Not forked, so that it does not matter what this process knows of CUDA.
            context = multiprocessing.get_context("spawn")
            self.pipe, theirs = context.Pipe()
            self.process = context.Process(target=serve, args=(theirs, self.place))
            self.process.start()
            theirs.close()
            self.started = self.answer(START)
        return self.started

    def answer(self, limit: float) -> Answer:
        """What comes next from the process; where nothing does, it is ended."""
        assert self.pipe is not None
        try:
            if self.pipe.poll(limit):
                return self.pipe.recv()
            error = f"no answer after {limit:.0f} s"
        except (EOFError, OSError):
            assert self.process is not None
            self.process.join(10)
            error = f"the process ended with exit code {self.process.exitcode}"
        self.stop()
        return {"error": error}

    def stop(self) -> None:
        """End the process and all that it has started."""
        if self.process is not None and self.process.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.join()
        self.process = self.pipe = None


def serve(pipe: Connection, place: Place) -> None:
    """Answer each row that comes."""
    os.setsid()  # what it starts can be ended with it
    try:
        pipe.send({"hardware": _hardware(place)})
    except Exception as error:
        pipe.send({"error": one_line(error)})
    while True:
        try:
            row: Row = pipe.recv()
        except EOFError:
            return
        pipe.send(_answer(place, row))


def _answer(place: Place, row: Row) -> Answer:
    module, _, name = row.function.partition(".")
    began = time.perf_counter()
    try:
        if row.only_cuda and not place.on_gpu:
            return {"error": "needs CUDA"}
        place.clear()
        metrics = getattr(importlib.import_module(module), name)(place, **row.arguments)
        place.wait()
    except (Exception, SystemExit) as error:
        traceback.print_exc(file=sys.stderr)
        measured = {"metrics": getattr(error, "metrics", {}), "seconds": round(time.perf_counter() - began, 1)}
        return measured | {"error": one_line(error)}
    return {"metrics": metrics, "seconds": round(time.perf_counter() - began, 1)}


def _hardware(place: Place) -> str:
    import torch
    from record import hardware

    torch.zeros(1, device=place.device)
    return hardware(place.on_gpu)


def one_line(error: BaseException) -> str:
    """The kind of an error and the beginning of what it says."""
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}"[:LONGEST]
