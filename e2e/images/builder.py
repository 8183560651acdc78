"""Builds images and puts them into the registry's store; skips what is there, prunes what is old.

buildah's own store (for its layer cache) and the registry's are in the cache directory. One lock covers
both: two checkouts build one after the other and share layers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from e2e.cluster import machine
from e2e.cluster.components import REGISTRY_CONFIGURATION, registry_environment
from e2e.cluster.layout import cache_directory
from e2e.cluster.progress import Progress
from e2e.images.recipe import (
    BASE_CONTAINERFILE,
    BASE_RECIPE,
    CHECKOUT,
    IGNORE_FILE,
    REGISTRY_HOST,
    Image,
    base_tag,
)

KEPT_TAGS = 4
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_PASSED_ON = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX")


def build(images: Sequence[Image], progress: Progress) -> dict[str, str]:
    """Make sure that the registry's store has the images; returns their references by key."""
    references = {image.key: image.reference() for image in images}
    with progress.alone(cache_directory() / "images.lock"):
        for image in images:
            reference = references[image.key]
            if _link(reference).exists():
                os.utime(_link(reference))
                progress.say(f"the {image.key} image is there: {reference}")
            else:
                _Build(progress).make(image, reference)
    return references


def buildah(*arguments: str) -> list[str]:
    """A buildah command on our own store."""
    store = (f"--root={cache_directory() / 'buildah'}", "--runroot=/run/sluicegate-buildah")
    return ["env", f"TMPDIR={_scratch()}", "buildah", *store, *arguments]


def _scratch() -> Path:
    return cache_directory() / "scratch"


class _Build:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._logs = cache_directory() / "log"
        self._logs.mkdir(parents=True, exist_ok=True)

    def make(self, image: Image, reference: str) -> None:
        machine.require_platform("building images")
        machine.require_root("building images")
        machine.install_packages(machine.IMAGE_TOOLS, self._progress)
        self._remove_leftovers()
        machine.require_space(machine.cache_need(f"building the {image.key} image", image.disk_gib))
        base = self._base()
        self._build(
            reference,
            CHECKOUT / image.containerfile,
            CHECKOUT,
            f"--ignorefile={IGNORE_FILE}",
            *(f"--build-arg={name}={value}" for name, value in (("BASE_IMAGE", base), *image.arguments)),
            *_network_options(),
        )
        isolated = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--"]
        push = [sys.executable, "-m", "e2e.images.push", reference]
        self._run(f"storing the {image.key} image", [*isolated, *push])
        self._prune(_tags(reference))

    def _prune(self, tags: Path) -> None:
        """Drop stale tags, and then the layers that nothing refers to."""
        if not (dropped := stale(tags)):
            return
        repository = tags.parents[1].name
        for tag in dropped:
            _succeeds(buildah("rmi", "--force", f"{REGISTRY_HOST}/{repository}:{tag.name}"))
            shutil.rmtree(tag)
        _succeeds(buildah("rmi", "--prune"))
        collect = ["docker-registry", "garbage-collect", "--delete-untagged", str(REGISTRY_CONFIGURATION)]
        environment = {**os.environ, **registry_environment(0)}
        self._run("dropping layers that no image needs", collect, env=environment)

    def _remove_leftovers(self) -> None:
        """Of killed builds: working containers, and the layers that buildah had half written."""
        shutil.rmtree(_scratch(), ignore_errors=True)
        _scratch().mkdir(parents=True)
        _succeeds(buildah("rm", "--all"))

    def _base(self) -> str:
        name = f"localhost/sluicegate-base:{base_tag()}"
        if _succeeds(buildah("inspect", "--type=image", name)):
            return name
        context = cache_directory() / "base"
        context.mkdir(exist_ok=True)
        archive = context / "base.tar"
        self._run("bootstrapping Debian", ["mmdebstrap", "--quiet", *BASE_RECIPE, str(archive)])
        self._build(name, BASE_CONTAINERFILE, context)
        archive.unlink()
        return name

    def _build(self, name: str, containerfile: Path, context: Path, *options: str) -> None:
        common = ("--isolation=chroot", "--network=host", "--layers", f"--tag={name}")
        command = buildah("build", *common, f"--file={containerfile}", *options, str(context))
        self._run(f"building {name}", command)

    def _run(self, what: str, command: Sequence[str], **options: Any) -> None:
        self._progress.say(what)
        self._progress.run(what, command, self._logs / "images.log", **options)


def _network_options() -> list[str]:
    """The machine's certificates and package index, if it has settings of its own, for the build only."""
    certificates = os.environ.get("SSL_CERT_FILE", _CERTIFICATES)
    options = [f"--build-arg={name}={os.environ[name]}" for name in _PASSED_ON if name in os.environ]
    if Path(certificates).is_file():
        options.append(f"--volume={certificates}:{_CERTIFICATES}:ro")
        options += [f"--build-arg={name}={_CERTIFICATES}" for name in ("PIP_CERT", "SSL_CERT_FILE")]
    return options


def _tags(reference: str) -> Path:
    """The folder of a repository's tags in the registry's store."""
    repository = reference.removeprefix(f"{REGISTRY_HOST}/").partition(":")[0]
    store = cache_directory() / "registry" / "docker" / "registry" / "v2"
    return store / "repositories" / repository / "_manifests" / "tags"


def _link(reference: str) -> Path:
    return _tags(reference) / reference.rpartition(":")[2] / "current" / "link"


def stale(tags: Path) -> list[Path]:
    """The tags to drop: all but those used last, and what a push that was cut short left without a link."""
    links = {tag: tag / "current" / "link" for tag in tags.iterdir()}
    whole = sorted((tag for tag in links if links[tag].exists()), key=lambda tag: links[tag].stat().st_mtime)
    return [tag for tag in links if tag not in whole[-KEPT_TAGS:]]


def _succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
