"""Where a model comes from, as users write it: two schemes, parsed once, nothing decoded or guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sluicegate_store.errors import Reason, StoreError, shorten
from sluicegate_store.manifest import is_plain_path

_CLAIM = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_HUB_NAME = r"[A-Za-z0-9](?:[\w.-]{0,94}\w)?"
# as the hub names repositories: no "--", no "..", no ".git" at the end
_HUB = re.compile(
    rf"(?!.*(?:--|\.\.|\.git@))(?P<repo>{_HUB_NAME}/{_HUB_NAME})@(?P<commit>[0-9a-f]{{40}})", re.ASCII
)


@dataclass(frozen=True)
class ClaimUri:
    """`pvc://claim/path`: a folder (or one .gguf file) on a mounted PersistentVolumeClaim."""

    claim: str
    path: str

    def __str__(self) -> str:
        return f"pvc://{self.claim}/{self.path}".rstrip("/")


@dataclass(frozen=True)
class HubUri:
    """`hf://org/name@<40 hex>`: a repository on a hub at one commit."""

    repository: str
    commit: str

    def __str__(self) -> str:
        return f"hf://{self.repository}@{self.commit}"


def parse_uri(text: str) -> ClaimUri | HubUri:
    """The source that a URI names. UnsafePath on traversal, UnsupportedFormat on any other bad form."""
    scheme, separator, rest = text.partition("://")
    if separator and scheme == "pvc":
        return _parse_claim(text, rest)
    if separator and scheme == "hf" and (match := _HUB.fullmatch(rest)):
        return HubUri(match["repo"], match["commit"])
    raise StoreError(
        Reason.UNSUPPORTED_FORMAT,
        f"source {shorten(text)!r} is neither pvc://claim/path nor hf://org/name@commit with the commit's "
        "40 lower-case hex digits; correct spec.source.uri",
    )


def _parse_claim(text: str, rest: str) -> ClaimUri:
    claim, _, path = rest.partition("/")
    path = path.rstrip("/")
    if path and not is_plain_path(path):
        raise StoreError(
            Reason.UNSAFE_PATH,
            f"source {shorten(text)!r} has an empty, '.', '..' or unprintable path part; "
            "write the path from the claim's root",
        )
    if not _CLAIM.fullmatch(claim):
        raise StoreError(
            Reason.UNSUPPORTED_FORMAT,
            f"source {shorten(text)!r} names no PersistentVolumeClaim; write pvc://claim/path",
        )
    return ClaimUri(claim, path)
