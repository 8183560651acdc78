"""What each image is made of. The tag is the hash of that, so an image is built once and never twice."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
_HERE = Path(__file__).parent
IGNORE_FILE = _HERE / "containerignore"
BASE_CONTAINERFILE = _HERE / "Containerfile.base"
REGISTRY_HOST = "localhost:5000"

# mmdebstrap's arguments for the base archive; documentation and translations are of no use in a container.
BASE_RECIPE = (
    "--variant=minbase",
    "--include=python3,python3-venv,ca-certificates",
    *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale")),
    "bookworm",
)


@dataclass(frozen=True)
class Image:
    """An image of ours: its Containerfile, its lock and the folders of our code in it, all by path."""

    key: str
    repository: str
    containerfile: str
    requirements: str
    sources: tuple[str, ...]
    disk_gib: int
    arguments: tuple[tuple[str, str], ...] = ()

    def reference(self, checkout: Path = CHECKOUT) -> str:
        """The reference of what a checkout holds now (it may change at any time: ask once)."""
        digest = hashlib.sha256(repr((self.arguments, base_tag())).encode())
        for path in sorted(self._inputs(checkout)):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(checkout)} {content}\n".encode())
        return f"{REGISTRY_HOST}/{self.repository}:{digest.hexdigest()[:16]}"

    def _inputs(self, checkout: Path) -> list[Path]:
        sources = [path for top in self.sources for path in (checkout / top).rglob("*")]
        files = [path for path in sources if path.is_file() and "__pycache__" not in path.parts]
        named = ("requirements/build.txt", self.requirements, "pyproject.toml", self.containerfile)
        return [*files, *(checkout / name for name in named)]


def base_tag() -> str:
    """The base image's tag."""
    return hashlib.sha256(repr(BASE_RECIPE).encode() + BASE_CONTAINERFILE.read_bytes()).hexdigest()[:16]


SMALL = Image(
    "small",
    "sluicegate",
    "e2e/images/Containerfile.small",
    "requirements/small.txt",
    ("operator", "runtime"),
    disk_gib=2,
)
ENGINE = Image(
    "engine",
    "sluicegate-engine",
    "e2e/images/Containerfile.engine",
    "requirements/engine-cpu.txt",
    ("runtime",),
    disk_gib=22,
    arguments=(("SYSTEM_PACKAGES", "g++ libnuma1 python3-dev"),),
)
