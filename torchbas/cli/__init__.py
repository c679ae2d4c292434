"""The command line, ``bas COMMAND``. What only some commands need is imported there: help must come at once."""

import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from ..errors import InputError
from .failures import described, quiet_threads
from .folder import first_process
from .interrupts import STOPPED, interruptible
from .memory import keep_freed_memory
from .streams import unbreakable

COMMANDS = {
    "demo": "the whole main job on a built-in set, offline; ends with a gallery",
    "label": "tags in, boxes + masks out: train, predict, export in one go",
    "check": "what was understood: tags, unreadable photos, duplicates; how long",
    "train": "train a model by a recipe",
    "predict": "find objects with a trained model",
    "export": "a model (ONNX, Hub), or an earlier run's results, for other tools",
    "serve": "a model as a backend of Label Studio, or photo in, JSON out",
    "segment": "tags to pseudo masks to a segmenter, in stages that are kept",
    "eval": "score a model, heatmaps or label maps by true boxes and masks",
    "analyze": "the paper's figures from your own runs; --help lists them",
    "recipes": "list the recipes, or print one: its commands, cost and numbers",
}
HELP = """usage: bas COMMAND ... (bas COMMAND --help says more)

From image tags to boxes and masks, by Background Activation Suppression.

{commands}

Start with bas demo, or, with photos sorted into one folder per tag:
  bas label photos/ --out labels/
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Exit codes: 0 done, 1 our error, 2 the user's input, 130 stopped and resumable.

    Where words are given, as from Python, or with ``--debug``, our errors are raised instead.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    with unbreakable() as out:
        code = _main(words, debug=arguments is not None or "--debug" in words)
        out.flush()
        if out.lost and not code:
            _say(f"The work is done, but its output could not be printed ({out.lost.strerror}): send it elsewhere.")
            return 2
        return code


def _main(words: list[str], *, debug: bool) -> int:
    if not words or words[0] in ("-h", "--help", "--help-all"):
        sys.stdout.write(_help())
        return 0
    if words[0] == "--version":
        from .. import __version__

        sys.stdout.write(f"torchbas {__version__}\n")
        return 0
    name, *rest = words
    if name not in COMMANDS:
        import difflib

        close = difflib.get_close_matches(name, COMMANDS, n=1)
        _say(f'There is no command "{name}"' + (f': did you mean "bas {close[0]}"?' if close else "; see bas --help."))
        return 2
    if any("\0" in word for word in rest):
        _say("A word of this command holds the character NUL, which no file has in its name: leave it out.")
        return 2
    if "--offline" in rest:
        os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub
    return _run(name, rest, debug)


def _run(name: str, rest: list[str], debug: bool) -> int:
    command = None
    keep_freed_memory()
    try:
        with interruptible(lambda: _stopped(command)), nullcontext() if debug else quiet_threads():
            try:
                command = importlib.import_module(f"{__name__}.{name}").parse(rest)
                answer = command.run()
            finally:
                if command is not None and command.folder:
                    command.folder.close()
    except InputError as error:
        _say(str(error))
        return 2
    except KeyboardInterrupt as stopped:
        if first_process():
            _say(_stopped(command, str(stopped)))
        return STOPPED
    except Exception as error:
        if debug:
            raise
        sentence, code = described(error)
        _say(sentence)
        return code
    if command is not None and command.json:
        import json

        sys.stdout.write(json.dumps(answer, default=_plain) + "\n")
    return 0


def _stopped(command: Any, what: str = "") -> str:
    """That a command was stopped, and how to go on."""
    folder = command and command.folder
    if not (folder and folder.kept):
        return f"{what or 'Stopped.'} Nothing was written: run the same command again."
    if not hasattr(command, "resume"):
        more = " and --overwrite" if folder.resume is None and not folder.overwrite else ""
    else:
        more = "" if command.resume else " and --resume" + (" instead of --overwrite" if command.overwrite else "")
    return f"{what or 'Stopped.'} Go on with the same command{more}."


def _plain(value: Any) -> Any:
    import dataclasses

    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else str(value)


def _help() -> str:
    rows = "\n".join(f"  {name:<8} {about}" for name, about in COMMANDS.items())
    return HELP.format(commands=rows)


def _say(sentence: str) -> None:
    sys.stderr.write(f"bas: {sentence}\n")
