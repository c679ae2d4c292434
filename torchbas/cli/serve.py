"""``bas serve``: a trained model as a backend of Label Studio, and for any program that has a photo."""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from ..bounds import Bound, NonNegative, Share
from ..cards import run_folder
from ..config import LEAST_CERTAINTY
from ..errors import InputError
from ..io import MANIFEST
from .common import Common, Objects, alone
from .common import parse as read
from .folder import OutputFolder
from .interrupts import STOPPED

TOKEN = "LABEL_STUDIO_TOKEN"
GRACE = 0.5
"""Seconds that a learning is waited for when the server is stopped."""


@dataclass
class Serve(Common):
    """A trained model as an ML backend of Label Studio, learning from corrections while it runs.

    Other programs post a photo to /localize. Stop it with Ctrl-C.
    """

    model: str = field(kw_only=True)
    """Folder of bas label or of a run, Hub repository user/name, or the authors' .pth.tar."""
    photos: Path | None = None
    """Folder of the photos that the tasks are of; they are found there by name or by the end of their path."""
    label_studio: str | None = None
    """Address of Label Studio, from where photos are fetched that --photos has not, and from nowhere else; its token is
    taken from the environment's LABEL_STUDIO_TOKEN."""
    out: Path | None = None
    """Folder for annotations that arrive and the model that has learned from them; without it nothing is learned."""
    every: NonNegative[int] = 10
    """Learn after so many new annotations; 0 only when told."""
    host: str = "127.0.0.1"
    """Address to listen on. Whoever can reach it can use it: there is no password."""
    port: Annotated[int, Bound(0, 65535)] = 9090
    """Port to listen on; 0 takes a free one."""
    objects: Objects = "largest"
    """The largest component of each heatmap, or all."""
    min_score: Share = LEAST_CERTAINTY
    """Lowest certainty where a photo's tags are not known and predicted; 0 keeps all."""

    def run(self) -> dict[str, Any]:
        """Load, listen, answer until stopped."""
        alone("serve")
        uvicorn, application = _web()
        listening = self._listen()
        with listening:
            backend, learner, say = self._backend()
            config = uvicorn.Config(
                application(backend, say),
                log_config=None,
                log_level="critical",
                access_log=False,
                lifespan="off",
                ws="none",
                limit_concurrency=16,
                timeout_graceful_shutdown=1,
                server_header=False,
            )
            port = listening.getsockname()[1]
            say(f"Listening on http://{self.host}:{port} (Ctrl-C stops).")
            try:
                uvicorn.Server(config).run(sockets=[listening])
            finally:
                if learner is not None:
                    learner.join(GRACE)
                if backend.busy:  # in compiled code, which ends when it likes; what is written is whole
                    say("Stopped in the middle of something: go on with the same command, and ask again.")
                    os._exit(STOPPED)
        return {"port": port}

    def _listen(self) -> socket.socket:
        """The socket, bound before the model is loaded."""
        try:
            family, *_, address = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0]
            return socket.create_server(address[:2], family=family)
        except OSError as error:
            what = f"{self.host}:{self.port} cannot be listened on ({error.strerror})"
            raise InputError(f"{what}: give another --port or --host.") from error

    def _backend(self) -> tuple[Any, Any, Any]:
        """The backend, its learner where there is --out, and what prints a line."""
        from .. import api
        from ..refiners import stages
        from ..serve.annotations import Annotations
        from ..serve.backend import Backend, Wanted
        from ..serve.learning import Learner
        from ..serve.photos import LabelStudio, Photos
        from .progress import Reporter

        say = Reporter(self.quiet).say
        compute = api.Compute(self.device, self.workers)
        self._plan()
        source = LabelStudio(self.label_studio, os.environ.get(TOKEN, "")) if self.label_studio else None
        localizer = api.load(self.model)
        stages(localizer.inference)  # whose weights may be missing
        localizer.model.to(compute.place())
        photos = Photos(self.photos, localizer.classes, source, self.out)
        wanted = Wanted(self.objects, self.min_score, compute)
        if self.photos:
            say(f"{photos.count} photos in {self.photos}")
        if self.out is None or self.folder is None:
            return Backend(localizer, wanted, photos, say=say), None, say
        annotations = Annotations(self.out / "annotations")
        learner = Learner(localizer, photos, annotations, self.out, compute, say, self.objects)
        self.folder.begin()
        return Backend(localizer, wanted, photos, annotations, learner, self.every, say), learner, say

    def _plan(self) -> None:
        """Refuse an --out that holds something else."""
        if self.out is None:
            return
        if (self.out / MANIFEST).exists() or run_folder(self.model).resolve().is_relative_to(self.out.resolve()):
            raise InputError(f"{self.out} is the folder of a model or of another command: choose another --out.")
        self.folder = OutputFolder(self.out, self.photos, overwrite=False, resume=True)


def _web() -> tuple[Any, Any]:
    """The web server, and what makes the application."""
    try:
        import python_multipart  # noqa: F401
        import uvicorn

        from ..serve.app import application
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("torchbas"):
            raise
        raise InputError(f'{error.name} is not installed: pip install "torch-bas[serve]".') from error
    return uvicorn, application


def parse(words: Sequence[str]) -> Serve:
    """The command from its words."""
    return read(Serve, words)
