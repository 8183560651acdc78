"""A model in a hub repository at one commit, fetched with huggingface_hub and held to the commit's hashes."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx2
from huggingface_hub import HfApi, hf_hub_download, set_client_factory
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RevisionNotFoundError,
    XetDownloadError,
)
from huggingface_hub.hf_api import RepoFile

from sluicegate_store.errors import Reason, StoreError, shorten
from sluicegate_store.manifest import SHA256
from sluicegate_store.progress import Progress
from sluicegate_store.source import SourceFile, chunks, require_file_names
from sluicegate_store.uri import HubUri

if TYPE_CHECKING:
    from tqdm import tqdm  # type: ignore[import-untyped]

_SILENCE_SECONDS = 30.0
# what the library trips over where a server answers with a page, or with JSON of another kind
_NO_HUB = (ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class _Listed:
    """What the commit says a file's content is: SHA-256 for large files, git's blob id for small ones."""

    sha256: str | None
    blob_id: str


class HubSource:
    """Lists at construction. Raises SourceNotFound, SourceForbidden or SourceUnreachable."""

    def __init__(self, uri: HubUri, endpoint: str | None, token: str | None) -> None:
        self._uri = uri
        self._endpoint = endpoint
        # False, not None: None makes the library look for credentials on its own
        self._token: str | bool = token or False
        _bound_silence()
        with self._hub_errors("its file list"):
            tree = HfApi(endpoint=endpoint, token=self._token).list_repo_tree(
                uri.repository, revision=uri.commit
            )
            files = {str(entry.path): entry for entry in tree if isinstance(entry, RepoFile)}
            self._listed = {
                name: _Listed(f.lfs.sha256 if f.lfs else None, f.blob_id) for name, f in files.items()
            }
            self._files = tuple(sorted(_source_file(name, f) for name, f in files.items()))
        require_file_names(self._listed)

    @property
    def folder(self) -> None:
        """Nothing to read in place."""
        return None

    def files(self) -> tuple[SourceFile, ...]:
        """The commit's top-level files, sorted by name."""
        return self._files

    def fetch(self, file: SourceFile, target: Path, progress: Progress) -> str:
        """Download a file and compare it with the hash that the commit lists; DigestMismatch names both."""
        with self._hub_errors(file.name):
            path = hf_hub_download(
                self._uri.repository,
                file.name,
                revision=self._uri.commit,
                local_dir=target.parent,
                cache_dir=target.parent / ".cache",
                endpoint=self._endpoint,
                token=self._token,
                tqdm_class=_bar_for(progress),
            )
        # the library may hand out a link into its cache; the store needs the bytes themselves
        os.replace(os.path.realpath(path), target)
        return self._verify(file, target)

    def _verify(self, file: SourceFile, target: Path) -> str:
        size = target.stat().st_size
        sha256, blob = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        with target.open("rb", buffering=0) as stream:
            for chunk in chunks(stream):
                sha256.update(chunk)
                blob.update(chunk)
        listed = self._listed[file.name]
        want, got = (listed.sha256, sha256) if listed.sha256 else (listed.blob_id, blob)
        if got.hexdigest() != want:
            raise StoreError(
                Reason.DIGEST_MISMATCH,
                f"{shorten(file.name)} of {self._uri} hashes to {got.hexdigest()}, the commit lists {want}; "
                "the hub or a cache before it serves other bytes",
            )
        return sha256.hexdigest()

    @contextmanager
    def _hub_errors(self, what: str) -> Iterator[None]:
        """Say in our words what the library raised; its texts hold signed URLs, so none is quoted."""
        place = f"{shorten(what)} of {self._uri}"
        try:
            yield
        except (RevisionNotFoundError, GatedRepoError, HfHubHTTPError) as error:
            raise _refusal(place, error) from error
        except EntryNotFoundError as error:
            # the library folds every failed look-up into this one; its cause tells them apart
            if isinstance(error.__cause__, HfHubHTTPError):
                raise _refusal(place, error.__cause__) from error
            raise _unreachable(place, "no usable answer") from error
        except _NO_HUB as error:
            raise _unreachable(place, "what it sent is not what a hub sends") from error
        except (httpx2.HTTPError, XetDownloadError) as error:
            raise _unreachable(place, type(error).__name__) from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise _unreachable(place, "the download ended early or was not what was announced") from error


def _source_file(name: str, listed: RepoFile) -> SourceFile:
    """ValueError where what stands for a SHA-256 is none: it becomes the name of a file."""
    sha256 = listed.lfs.sha256 if listed.lfs else None
    if sha256 is not None and not SHA256.fullmatch(sha256):
        raise ValueError("not a SHA-256")
    return SourceFile(name, int(listed.size), sha256)


def _refusal(place: str, error: HfHubHTTPError) -> StoreError:
    status = error.response.status_code
    if isinstance(error, GatedRepoError) or status in (401, 403):
        return StoreError(
            Reason.SOURCE_FORBIDDEN,
            f"the hub refused {place} ({status}): the token is missing or lacks access, or the repository "
            "does not exist; check the repository and the credentials Secret",
        )
    if status in (404, 410):
        missing = "commit" if isinstance(error, RevisionNotFoundError) else "repository, commit or file"
        return StoreError(
            Reason.SOURCE_NOT_FOUND,
            f"the hub does not have {place} ({status}): no such {missing}; check the URI",
        )
    return _unreachable(place, f"status {status}")


def _unreachable(place: str, detail: str) -> StoreError:
    return StoreError(
        Reason.SOURCE_UNREACHABLE,
        f"the hub did not deliver {place}: {detail}; check the endpoint and the network",
    )


def _bound_silence() -> None:
    """Give up on a server that says nothing: the library sets no time limit on listings."""

    def limit(request: httpx2.Request) -> None:
        limits = request.extensions.get("timeout") or {}
        request.extensions["timeout"] = {
            step: limits.get(step) or _SILENCE_SECONDS for step in ("connect", "read", "write", "pool")
        }

    set_client_factory(
        lambda: httpx2.Client(event_hooks={"request": [limit]}, follow_redirects=True, timeout=None)
    )


def _bar_for(progress: Progress) -> type[tqdm]:
    """A progress bar class, as the library asks for one, that counts into `progress`."""

    class Bar:
        total: int | None = None
        n = 0

        def __init__(self, **_: Any) -> None:
            return None

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def update(self, count: float | None = 1) -> None:
            progress.advance(int(count or 0))

        def update_transfer(self, count: float | None = 1) -> None:
            """Network bytes of a chunked download: `update` counts the file's own."""

        def set_postfix_str(self, *_: Any, **__: Any) -> None:
            return None

        set_transfer_postfix_str = set_description = refresh = close = set_postfix_str

    return cast("type[tqdm]", Bar)
