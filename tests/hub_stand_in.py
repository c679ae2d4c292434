"""The Hugging Face Hub, as far as its client asks for a small repository of regular files: upload and download."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

Repositories = dict[str, dict[str, bytes]]
"""Content of each file of each repository."""


@contextmanager
def stand_in() -> Iterator[tuple[str, Repositories, list[str]]]:
    """Its address, what it holds, and what it was asked for."""
    repositories: Repositories = {}
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def answer(self, content: object, status: int = 200, **headers: str) -> None:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append(f"POST {self.path}")
            if self.headers.get("Authorization") != "Bearer hf_stand_in":
                return self.answer({"error": "who are you?"}, 401)
            match self.path.strip("/").split("/"):
                case ["api", "validate-yaml"]:
                    return self.answer({"errors": [], "warnings": []})
                case ["api", "repos", "create"]:
                    told = json.loads(body)
                    name = f"{told['organization']}/{told['name']}"
                    repositories.setdefault(name, {})
                    asked.append(f"private {told.get('private')} {told.get('visibility')}")
                    return self.answer({"url": f"http://{self.headers['Host']}/{name}"})
                case ["api", "models", user, name, "preupload", "main"]:
                    files = [one["path"] for one in json.loads(body)["files"]]
                    regular = {"uploadMode": "regular", "shouldIgnore": False}
                    return self.answer({"files": [{"path": path, **regular} for path in files]})
                case ["api", "models", user, name, "commit", "main"]:
                    for line in map(json.loads, body.splitlines()):
                        if line["key"] == "file":
                            content = base64.b64decode(line["value"]["content"])
                            repositories[f"{user}/{name}"][line["value"]["path"]] = content
                    address = f"http://{self.headers['Host']}/{user}/{name}/commit/{'a' * 40}"
                    return self.answer({"commitUrl": address, "commitOid": "a" * 40, "success": True})
            return self.answer({"error": "not here"}, 404)

        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.path}")
            path, _, _ = self.path.partition("?")
            match path.strip("/").split("/"):
                case ["api", "models", user, name, "revision", _] if f"{user}/{name}" in repositories:
                    files = [{"rfilename": path} for path in repositories[f"{user}/{name}"]]
                    return self.answer({"id": f"{user}/{name}", "sha": "a" * 40, "siblings": files})
                case ["api", "models", user, name, "tree", *_] if f"{user}/{name}" in repositories:
                    files = repositories[f"{user}/{name}"].items()
                    rows = [{"type": "file", "path": path, "size": len(one), "oid": "b" * 40} for path, one in files]
                    return self.answer(rows)
                case [user, name, "resolve", _, file] if file in repositories.get(f"{user}/{name}", {}):
                    content = repositories[f"{user}/{name}"][file]
                    tag = hashlib.sha256(content).hexdigest()
                    return self.answer(content, ETag=f'"{tag}"', X_Repo_Commit="a" * 40)
            return self.answer({"error": "not here"}, 404, X_Error_Code="RepoNotFound")

        do_HEAD = do_GET  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", repositories, asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
