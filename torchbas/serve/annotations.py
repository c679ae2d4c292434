"""The annotations of Label Studio that arrived, a file for each task, in the form that it exports."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..data.corrections.readers import BROKEN, Entry, label_studio_entries, photo_in
from ..errors import InputError, one_line
from ..inputs import read_json
from ..io import atomic_write


class Annotations:
    """Tasks with their annotations in a folder, ``task-ID.json`` each: what was stored is there after a crash.

    Raises:
        InputError: a file in it that is not understood.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._lock = folder, threading.RLock()
        self._task_of: dict[int, Path] = {}
        for file in sorted(folder.glob("task-*.json")):
            tasks = read_json(file)
            if not isinstance(tasks, list) or len(tasks) != 1:
                raise InputError(f"{file} is not understood: it should hold one task.")
            (task,) = _understood(tasks, str(file))
            self._task_of |= {one["id"]: file for one in task["annotations"]}

    def __len__(self) -> int:
        """How many tasks have an annotation."""
        with self._lock:
            return len(set(self._task_of.values()))

    def put(self, task: Any, annotations: Any) -> None:
        """Store annotations of a task; the last one counts.

        Args:
            task: with ``id`` and ``data``.
            annotations: each with ``id`` and ``result``; of one that is there already this is the new state.

        Raises:
            InputError: not of this form, or nothing that corrections are read from; nothing is stored then.
        """
        (new,) = _understood([{"id": _field(task, "id"), "data": _field(task, "data"), "annotations": annotations}])
        changed = {one["id"] for one in new["annotations"]}
        with self._lock:
            file = self.folder / f"task-{new['id']}.json"
            before = read_json(file)[0]["annotations"] if file.is_file() else []
            new["annotations"] = [one for one in before if one["id"] not in changed] + new["annotations"]
            self._write(file, new)

    def remove(self, annotations: Any) -> int:
        """How many of the annotations, each with ``id``, were there; they are not any more.

        Raises:
            InputError: not of this form.
        """
        with self._lock:
            gone = [number for number in _numbers(annotations) if number in self._task_of]
            for number in gone:
                file = self._task_of.pop(number)
                (task,) = read_json(file)
                task["annotations"] = [one for one in task["annotations"] if one["id"] != number]
                self._write(file, task)
            return len(gone)

    def tasks(self) -> Iterator[tuple[str, Entry]]:
        """Address of the photo and what was corrected in it, of each task with an annotation that was not skipped."""
        with self._lock:
            tasks = [read_json(file)[0] for file in sorted(set(self._task_of.values()))]
        for task in tasks:
            for entry in label_studio_entries([task]):
                yield photo_of(task["data"]), entry

    def _write(self, file: Path, task: dict[str, Any]) -> None:
        if task["annotations"]:
            with atomic_write(file) as partial:
                partial.write_text(json.dumps([task], ensure_ascii=False), encoding="utf-8")
        else:
            file.unlink(missing_ok=True)
        self._task_of |= {one["id"]: file for one in task["annotations"]}


def photo_of(data: Any, key: str = "image") -> str:
    """Address of the photo in a task's data, see :func:`~torchbas.data.corrections.readers.photo_in`.

    Raises:
        InputError: there is none.
    """
    if not isinstance(data, dict) or not (address := photo_in(data, key)):
        raise InputError("The task has no address of a photo in its data.")
    return address


def _understood(tasks: Any, where: str = "The annotation") -> list[dict[str, Any]]:
    """Tasks in the form of an export whose corrections can be read."""
    try:
        for task in tasks:
            _numbers([task, *task["annotations"]])
            photo_of(task["data"])
        list(label_studio_entries(tasks))
    except (*BROKEN, InputError) as error:
        raise InputError(f"{where} is not understood ({one_line(error)}).") from error
    return tasks


def _field(task: Any, name: str) -> Any:
    if not isinstance(task, dict) or name not in task:
        raise InputError(f"The annotation comes without its task's {name}.")
    return task[name]


def _numbers(things: Any) -> list[int]:
    """The ``id`` of each."""
    ids = [one.get("id") for one in things if isinstance(one, dict)] if isinstance(things, list) else []
    numbers = [number for number in ids if type(number) is int and 0 <= number < 2**53]
    if not isinstance(things, list) or len(numbers) < len(things):
        raise InputError("An id of a task or of an annotation is no number.")
    return numbers
