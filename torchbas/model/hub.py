"""The Hugging Face Hub, which is asked only where it answers, and the pretrained weights that come from it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from urllib.parse import urlsplit
from urllib.request import getproxies

from huggingface_hub import constants

from ..errors import InputError

PATIENCE = 2.0
"""Seconds that its server is given to answer."""


@contextmanager
def answering() -> Iterator[None]:
    """Without a network the Hub's client only looks at what it has fetched before, in place of a minute of retries."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _reachable(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@contextmanager
def fetching(name: str, flag: str) -> Iterator[None]:
    """Where timm fetches the weights of a network; ``flag`` is the one that a user gives a file by.

    Raises:
        InputError: they cannot be fetched; the sentence says where they are.
    """
    from timm.models import get_pretrained_cfg

    try:
        with answering():
            yield
    except (OSError, RuntimeError) as error:
        config = get_pretrained_cfg(name)
        place = f" {constants.ENDPOINT}/{config.hf_hub_id}" if config and config.hf_hub_id else ""
        raise InputError(
            f"The pretrained weights{place or f' of {name}'} cannot be fetched: give a file of them with {flag} FILE"
            f"{', fetched elsewhere' if place else ''}, or start from scratch with {flag} none."
        ) from error


def _reachable(address: str) -> bool:
    """Whether a server takes connections; True behind a proxy, which may reach it."""
    parts = urlsplit(address)
    if parts.scheme in getproxies():
        return True
    found = []

    def connect() -> None:
        try:
            with socket.create_connection((parts.hostname, parts.port or 443), PATIENCE):
                found.append(True)
        except OSError:
            return

    asking = Thread(target=connect, daemon=True)  # the look-up of a name knows no limit of time
    asking.start()
    asking.join(PATIENCE)
    return bool(found)
