"""The Hugging Face Hub, which is asked only where it answers, and the pretrained weights that come from it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from huggingface_hub import constants, try_to_load_from_cache
from safetensors import SafetensorError

from ..errors import InputError

PATIENCE = 2.0
"""Seconds that each address of its server is given to answer."""
LONGEST = 10.0
"""Seconds after which there is no network, also for the look-up of the server's name, which knows no limit."""
PORTS = {"http": 80, "https": 443}


@contextmanager
def answering() -> Iterator[None]:
    """Without a network the Hub's client only looks at what it has fetched before, in place of a minute of retries."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = not reachable()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def pretrained_config(name: str) -> Any:
    """What timm knows of a network's weights: where they are, their license, colors; None where it has none."""
    from timm.models import get_pretrained_cfg

    try:
        return get_pretrained_cfg(name)
    except RuntimeError:  # the network has no weights by that tag
        return None


def on_this_machine(name: str) -> bool:
    """Whether timm's weights of a network have been fetched before; the Hub is not asked."""
    config = pretrained_config(name)
    if not config or not config.hf_hub_id:
        return False
    files = ("model.safetensors", "pytorch_model.bin")
    return any(isinstance(try_to_load_from_cache(config.hf_hub_id, file), str) for file in files)


@contextmanager
def fetching(name: str, flag: str) -> Iterator[None]:
    """Where timm fetches the weights of a network; ``flag`` is the one that a user gives a file by.

    Raises:
        InputError: there are none of that name, or they cannot be fetched; the sentence says where they are.
    """
    config = pretrained_config(name)
    if config is None:
        raise InputError(f"timm has no pretrained weights {name}: give another network, or a {flag} FILE.")
    try:
        with answering():
            yield
    except (OSError, RuntimeError, SafetensorError) as error:
        place = f" {constants.ENDPOINT}/{config.hf_hub_id}" if config and config.hf_hub_id else ""
        raise InputError(
            f"The pretrained weights{place or f' of {name}'} cannot be fetched: give a file of them with {flag} FILE"
            f"{', fetched elsewhere' if place else ''}, or start from scratch with {flag} none."
        ) from error


def reachable() -> bool:
    """Whether weights can be fetched: the Hub may be asked, and takes connections."""
    return not constants.HF_HUB_OFFLINE and _reachable(constants.ENDPOINT)


def _reachable(address: str) -> bool:
    """Whether a server takes connections; True behind a proxy, which may reach it."""
    parts = urlsplit(address)
    if {parts.scheme, "all"} & getproxies().keys():
        return True
    found = []

    def connect() -> None:
        try:
            with socket.create_connection((parts.hostname, parts.port or PORTS.get(parts.scheme, 443)), PATIENCE):
                found.append(True)
        except OSError:
            return

    asking = Thread(target=connect, daemon=True)
    asking.start()
    asking.join(LONGEST)
    return bool(found)
