"""The photos that tasks of Label Studio name: those of a folder, or of Label Studio itself. No name becomes a path."""

import json
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from ..data import decode, read, read_untagged
from ..data.corrections import NoMatch, PhotoIndex
from ..data.corrections.readers import BROKEN, Entry, file_of
from ..errors import InputError, one_line
from ..io import atomic_write
from ..structures import Dataset, Sample

PATIENCE = 20
"""Seconds that Label Studio is given to answer."""
LARGEST_BODY = 64 << 20
"""Bytes of a photo that is sent or fetched."""


class Photos:
    """Samples by the address in a task.

    Args:
        folder: photos whose names, or ends of their paths, tasks have.
        classes: the model's; tags of the folder's photos count where they are among them.
        label_studio: where photos are fetched that the folder has not.
        kept: folder for those; without one they are fetched each time.
    """

    def __init__(
        self, folder: Path | None, classes: Sequence[str], label_studio: "LabelStudio | None", kept: Path | None
    ) -> None:
        self._index = PhotoIndex(_tagged(folder, tuple(classes)) if folder else Dataset(Path(), (), ()))
        self._label_studio, self._kept = label_studio, kept
        self.count = len(self._index.samples)

    def sample(self, address: str) -> Sample:
        """The photo at an address, its labels in the model's class list, none where they are not known.

        Raises:
            InputError: there is none, it cannot be fetched or decoded.
        """
        try:
            return self._index.of(Entry(file_of(address), {}))
        except BROKEN as error:
            why = str(error) if isinstance(error, NoMatch) else "this is no address of a photo"
            if self._label_studio is None:
                where = "give its folder as --photos, or --label-studio"
                raise InputError(f"{address[:200]}: {why} in --photos; {where}.") from error
        return self._fetched(self._label_studio, address)

    def _fetched(self, source: "LabelStudio", address: str) -> Sample:
        name = f"fetched/{sha256(address.encode('utf-8', 'replace')).hexdigest()[:32]}"
        file = self._kept / name if self._kept else Path(name)
        if self._kept and file.is_file():
            return Sample(file, name)
        content = source.photo(address)
        photo = decode(address[:200], content=content).image
        if self._kept is None:
            return Sample(file, name, image=photo)
        with atomic_write(file) as partial:
            partial.write_bytes(content)
        return Sample(file, name)


def _tagged(folder: Path, classes: tuple[str, ...]) -> Dataset:
    """The photos of a folder with those of their tags, if it has some, that are classes of the model."""
    try:
        found = read(folder, strict=False)
    except InputError:  # no tags, which are not needed
        found = read_untagged(folder)
    number = {tag: label for label, tag in enumerate(classes)}
    known = {label: number[tag] for label, tag in enumerate(found.classes) if tag in number}
    samples = (
        replace(one, labels=tuple(sorted(known[label] for label in one.labels if label in known)))
        for one in found.samples
    )
    return Dataset(found.root, classes, tuple(samples))


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None: the answer that leads elsewhere is an error."""


class LabelStudio:
    """A server of Label Studio that photos are fetched from; nothing is fetched from elsewhere.

    Args:
        token: its legacy token, or a personal access token, for which a short-lived one is asked.

    Raises:
        InputError: no ``http(s)://`` address.
    """

    def __init__(self, address: str, token: str) -> None:
        self.address, self._token = address.rstrip("/") + "/", token.strip()
        try:
            self._origin = _origin(self.address)
        except ValueError as error:
            raise InputError(f"--label-studio {address} is no address: give one as http://127.0.0.1:8080.") from error
        self._opener = build_opener(_NoRedirects)

    def photo(self, address: str) -> bytes:
        """The content at an address of this server.

        Raises:
            InputError: another server's, a redirect, an error, or more than :data:`LARGEST_BODY`.
        """
        try:
            whole = urljoin(self.address, address)
            if _origin(whole) != self._origin:
                raise ValueError(whole)
        except ValueError as error:
            sentence = f"{address[:200]} is not of {self.address}, and photos are fetched from nowhere else."
            raise InputError(sentence) from error
        return self._read(Request(whole, headers=self._authorization()))

    def _authorization(self) -> dict[str, str]:
        if self._token.count(".") != 2:
            return {"Authorization": f"Token {self._token}"} if self._token else {}
        content = json.dumps({"refresh": self._token}).encode()
        address = urljoin(self.address, "api/token/refresh")
        answer = self._read(Request(address, content, {"Content-Type": "application/json"}))
        try:
            return {"Authorization": f"Bearer {json.loads(answer)['access']}"}
        except (ValueError, LookupError, TypeError) as error:
            raise InputError(f"{address} gave no token: check the one in the environment.") from error

    def _read(self, request: Request) -> bytes:
        url = request.full_url[:200]
        try:
            with self._opener.open(request, timeout=PATIENCE) as answer:
                content = answer.read(LARGEST_BODY + 1)
        except HTTPError as error:
            raise InputError(f"{url} answers {error.code}: check the token in the environment.") from error
        except (OSError, ValueError, HTTPException) as error:
            raise InputError(f"{url} cannot be fetched ({one_line(error)}).") from error
        if len(content) > LARGEST_BODY:
            raise InputError(f"{url} is larger than {LARGEST_BODY >> 20} MiB.")
        return content


def _origin(address: str) -> tuple[str, str, int]:
    """Scheme, host and port. Raises ValueError where there is none of HTTP's."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise ValueError(address)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
