"""``bas serve``'s application on a free port of this machine, and requests to it."""

import json
import threading
import time
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import uvicorn

from torchbas.serve.app import application


@contextmanager
def serving(backend):
    """Where it listens."""
    config = uvicorn.Config(application(backend, lambda _: None), port=0, log_config=None, lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def ask(address, content=None, **headers):
    """Status and JSON of an answer, to GET without content; what is not bytes is sent as JSON."""
    if content is not None and not isinstance(content, bytes):
        content = json.dumps(content).encode()
    try:
        with urlopen(Request(address, content, {"Content-Type": "application/json", **headers}), timeout=60) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)
