"""bas serve on the terminal: what is refused before anything is loaded, and how it ends."""

import builtins
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

pytest.importorskip("uvicorn", reason='uvicorn is not installed: the extra "serve" has it')

from serving import ask

import torchbas as tb
from torchbas.cli import main

COMMAND = [sys.executable, "-c", "import sys; from torchbas.cli import main; sys.exit(main())", "serve"]


@pytest.fixture(scope="module")
def model(demo_set, recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tb.train(demo_set, folder, recipe=recipe, weights=False)
    return folder


def said(capsys):
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_a_port_in_use_is_said(model, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["serve", "--model", str(model), "--port", str(port)]) == 2
    assert f"127.0.0.1:{port} cannot be listened on" in said(capsys)


def test_a_missing_package_is_named_with_the_command_that_installs_it(model, capsys, monkeypatch):
    true_import = builtins.__import__

    def without(name, *rest, **more):
        if name == "uvicorn":
            raise ModuleNotFoundError("No module named 'uvicorn'", name="uvicorn")
        return true_import(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert main(["serve", "--model", str(model)]) == 2
    assert 'pip install "torch-bas[serve]"' in said(capsys)


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (["--label-studio", "file:///etc"], "http://"),
        (["--host", "256.0.0.1"], "cannot be listened on"),
        (["--out", "{photos}/out"], "lies inside"),
        (["--out", "{model}"], "choose another --out"),
        (["--photos", "{photos}/none"], "does not exist"),
        (["--model", "{photos}"], "model.json"),
    ],
)
def test_what_cannot_be_used_is_said(model, photos, capsys, words, word):
    given = [one.format(photos=photos, model=model) for one in words]
    before = ["--model", str(model), "--photos", str(photos)]
    assert main(["serve", *before, "--port", "0", *given]) == 2
    assert word in said(capsys)


@pytest.mark.slow
def test_ctrl_c_ends_it_at_once_and_what_came_is_kept(model, photos, tmp_path):
    out = tmp_path / "out"
    words = ["--model", str(model), "--photos", str(photos), "--out", str(out), "--port", "0"]
    with subprocess.Popen([*COMMAND, *words], stderr=subprocess.PIPE, text=True) as process:
        watch = threading.Timer(120, process.kill)
        watch.start()
        line = next(line for line in process.stderr if "Listening" in line)
        address = line.split()[2]
        region = {"value": {"x": 1, "y": 1, "width": 50, "height": 50, "rectanglelabels": ["fish"]}}
        task = {"id": 1, "data": {"image": "a.jpg"}}
        content = {"action": "ANNOTATION_CREATED", "task": task, "annotation": {"id": 1, "result": [region]}}
        assert ask(f"{address}/webhook", content)[0] == 200
        began = time.monotonic()
        os.kill(process.pid, signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait() == 130
        assert time.monotonic() - began < 5
        watch.cancel()
    assert rest == "bas: Stopped. Go on with the same command.\n"
    assert (out / "annotations/task-1.json").is_file()
    assert not (out / "run.json").exists()
