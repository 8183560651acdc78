"""A hub on this machine: the endpoints that huggingface_hub uses to list and fetch a model, and their faults.

Serves `<root>/<org>/<name>/<40 hex commit>/…`. Needs aiohttp only, so that it runs in any pod:
`python hub_server.py --root DIR --port 8000 --token SECRET`.
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

LFS_BYTES = 1 << 20
LFS_SUFFIXES = (".safetensors", ".gguf", ".bin")
CHUNK = 1 << 18


@dataclass
class Faults:
    """What goes wrong, by file name: each may be changed while the server runs."""

    status: int = 0
    gated: bool = False
    no_commit_header: bool = False
    list_instead: str | None = None
    reset_at: dict[str, list[int]] = field(default_factory=dict)
    other_bytes: set[str] = field(default_factory=set)
    one_byte_short: set[str] = field(default_factory=set)


@dataclass
class Hub:
    """Routes over a folder. With `token`, requests must carry it; with `cdn`, large files redirect there."""

    root: Path
    token: str | None = None
    cdn: str | None = None
    faults: Faults = field(default_factory=Faults)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)

    def application(self) -> web.Application:
        application = web.Application()
        repository = "{org}/{name}"
        revision = "{revision:[^/]+}"
        application.router.add_get(f"/api/models/{repository}/tree/{revision}", self.tree)
        application.router.add_get(f"/api/models/{repository}/revision/{revision}", self.info)
        application.router.add_get(f"/{repository}/resolve/{revision}/{{path:.+}}", self.resolve)
        application.router.add_get("/cdn/{org}/{name}/{revision}/{path:.+}", self.content)
        return application

    def _snapshot(self, request: web.Request) -> Path:
        """The folder of the commit asked for, or the hub's own kind of refusal."""
        authorization = request.headers.get("Authorization")
        self.requests.append((request.method, request.path, authorization))
        if self.faults.status:
            raise _refusal(self.faults.status)
        if self.token is not None and authorization is None:
            raise _refusal(401, "RepoNotFound", "Invalid username or password.")
        if self.token is not None and authorization != f"Bearer {self.token}":
            raise _refusal(401, None, "Invalid credentials in Authorization header")
        if self.faults.gated:
            raise _refusal(403, "GatedRepo", "Access to this model is restricted.")
        names = request.match_info
        repository = self.root / names["org"] / names["name"]
        if not repository.is_dir():
            raise _refusal(404, "RepoNotFound", "Repository not found")
        if not (repository / names["revision"]).is_dir():
            raise _refusal(404, "RevisionNotFound", f"Invalid rev id: {names['revision']}")
        return repository / names["revision"]

    async def info(self, request: web.Request) -> web.Response:
        snapshot = self._snapshot(request)
        names = request.match_info
        siblings = [{"rfilename": str(p.relative_to(snapshot))} for p in _files(snapshot)]
        identifier = f"{names['org']}/{names['name']}"
        return web.json_response({"id": identifier, "sha": snapshot.name, "siblings": siblings, "tags": []})

    async def tree(self, request: web.Request) -> web.Response:
        snapshot = self._snapshot(request)
        if self.faults.list_instead is not None:
            return web.Response(text=self.faults.list_instead, content_type="application/json")
        if request.query.get("recursive", "false").lower() == "true":
            return web.json_response([_file_entry(snapshot, path) for path in _files(snapshot)])
        entries = [
            _file_entry(snapshot, path)
            if path.is_file()
            else {"type": "directory", "oid": "0" * 40, "size": 0, "path": path.name}
            for path in sorted(snapshot.iterdir())
        ]
        return web.json_response(entries)

    async def resolve(self, request: web.Request) -> web.StreamResponse:
        snapshot = self._snapshot(request)
        path = snapshot / request.match_info["path"]
        if not path.is_file():
            raise _refusal(404, "EntryNotFound", "Entry not found")
        entry = _file_entry(snapshot, path)
        headers = {} if self.faults.no_commit_header else {"X-Repo-Commit": snapshot.name}
        if "lfs" not in entry:
            return await self._send(request, path, {**headers, "ETag": f'"{entry["oid"]}"'})
        headers |= {"X-Linked-Etag": f'"{entry["lfs"]["oid"]}"', "X-Linked-Size": str(entry["size"])}
        if self.cdn is None:
            return await self._send(request, path, headers | {"ETag": f'"{entry["lfs"]["oid"]}"'})
        location = f"{self.cdn}/cdn/{path.relative_to(self.root)}"
        return web.Response(status=302, headers={**headers, "Location": location})

    async def content(self, request: web.Request) -> web.StreamResponse:
        """A signed address: open to whoever knows it, so a token sent here has leaked."""
        self.requests.append((request.method, request.path, request.headers.get("Authorization")))
        names = request.match_info
        path = self.root / names["org"] / names["name"] / names["revision"] / names["path"]
        return await self._send(request, path, {})

    async def _send(self, request: web.Request, path: Path, headers: dict[str, str]) -> web.StreamResponse:
        size = _size(path)
        if request.method == "GET" and path.name in self.faults.one_byte_short:
            size -= 1
        start = request.http_range.start or 0
        response = web.StreamResponse(status=206 if start else 200, headers=headers)
        response.content_length = size - start
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        resets = self.faults.reset_at.get(path.name)
        end = resets.pop(0) if resets else size
        with path.open("rb") as stream:
            stream.seek(start)
            for position in range(start, min(end, size), CHUNK):
                chunk = stream.read(min(CHUNK, end - position))
                await response.write(chunk[::-1] if path.name in self.faults.other_bytes else chunk)
        if end < size and request.transport is not None:
            request.transport.abort()
        return response


def _size(path: Path) -> int:
    return path.stat().st_size


def _files(snapshot: Path) -> list[Path]:
    return sorted(path for path in snapshot.rglob("*") if path.is_file())


def _file_entry(snapshot: Path, path: Path) -> dict[str, Any]:
    """One file as the tree lists it: git's blob id; for a large file that of its pointer, and the SHA-256."""
    content = path.read_bytes()
    size, name = len(content), str(path.relative_to(snapshot))
    if size < LFS_BYTES and not name.endswith(LFS_SUFFIXES):
        return {"type": "file", "oid": _blob_id(content), "size": size, "path": name}
    sha256 = hashlib.sha256(content).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
    lfs = {"oid": sha256, "size": size, "pointerSize": len(pointer)}
    return {"type": "file", "oid": _blob_id(pointer), "size": size, "path": name, "lfs": lfs}


def _blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _refusal(status: int, code: str | None = None, message: str = "") -> web.HTTPException:
    headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})

    class Refusal(web.HTTPException):
        status_code = status

    return Refusal(headers=headers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--token", help="refuse requests without this token")
    parser.add_argument(
        "--cdn", help="base URL that large files redirect to, e.g. this server by another name"
    )
    options = parser.parse_args()
    hub = Hub(options.root, options.token, options.cdn)
    web.run_app(hub.application(), host=options.host, port=options.port)


if __name__ == "__main__":
    main()
