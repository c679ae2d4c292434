"""Label Studio itself, for the walk: installed, started on this machine alone, and asked by its API."""

import json
import os
import secrets
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

RELEASE = "label-studio==1.23.2"
PATIENCE = 900
PORT = 8181
USER, PASSWORD = "annotator@example.org", "drawn-photos-only"


def install(env: Path) -> None:
    """Label Studio in an environment of its own."""
    if not (env / "bin/label-studio").is_file():
        venv.create(env, with_pip=True)
        subprocess.run([env / "bin/python", "-m", "pip", "install", "--quiet", RELEASE], check=True)


class Studio:
    """Label Studio's API."""

    def __init__(self, address: str, token: str) -> None:
        self.address, self.token = address, token

    def ask(self, path: str, content: Any = None, method: str | None = None) -> Any:
        """The JSON of an answer, its bytes where it is none."""
        body = None if content is None else json.dumps(content).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Token {self.token}"}
        try:
            with urlopen(Request(f"{self.address}/{path}", body, headers, method=method), timeout=600) as answer:
                got = answer.read()
        except HTTPError as error:
            sys.exit(f"{path} answers {error.code}: {error.read()[:1000].decode(errors='replace')}")
        try:
            return json.loads(got or "null")
        except ValueError:
            return got


@contextmanager
def running(words: Sequence[Any], log: Path, ready: Callable[[], bool], **environment: str) -> Iterator[None]:
    """A server, from when it answers until the end of the block."""
    with log.open("w") as out:
        process = subprocess.Popen([*map(str, words)], stdout=out, stderr=out, env={**os.environ, **environment})
    try:
        wait(ready, f"{log} says why")
        yield
    finally:
        process.terminate()
        process.wait(30)


def wait(ready: Callable[[], bool], otherwise: str) -> None:
    """Until it is so."""
    end = time.monotonic() + PATIENCE
    while not ready():
        if time.monotonic() > end:
            sys.exit(f"not ready after {PATIENCE} s: {otherwise}")
        time.sleep(1)


def answers(address: str) -> bool:
    """Whether a server is there."""
    try:
        with urlopen(address, timeout=5):
            return True
    except OSError:
        return False


@contextmanager
def label_studio(work: Path, data: Path) -> Iterator[Studio]:
    """The server: on this machine alone, and allowed to ask a backend there."""
    token = secrets.token_hex(20)
    environment = {
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(work),
        "ML_BLOCK_LOCAL_IP": "false",
        "ML_TIMEOUT_PREDICT": "600",
        "SSRF_PROTECTION_ENABLED": "false",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }
    words = [work / "env/bin/label-studio", "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", PORT]
    words += ["--data-dir", data, "--username", USER, "--password", PASSWORD, "--user-token", token]
    words += ["--enable-legacy-api-token"]
    address = f"http://127.0.0.1:{PORT}"
    with running(words, work / "label-studio.log", lambda: answers(f"{address}/health"), **environment):
        yield Studio(address, token)
