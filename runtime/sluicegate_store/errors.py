"""Why a model was refused: one exception, one closed list of reasons, one rule for what is worth retrying."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TypedDict

NAME_LIMIT = 120


class Reason(StrEnum):
    """Machine-readable cause; the operator copies it into a condition."""

    SOURCE_NOT_FOUND = "SourceNotFound"
    SOURCE_UNREACHABLE = "SourceUnreachable"
    SOURCE_FORBIDDEN = "SourceForbidden"
    DIGEST_MISMATCH = "DigestMismatch"
    CHECKPOINT_INCOMPLETE = "CheckpointIncomplete"
    CHECKPOINT_CORRUPT = "CheckpointCorrupt"
    NON_FINITE_WEIGHTS = "NonFiniteWeights"
    CONFIG_INVALID = "ConfigInvalid"
    UNSAFE_PATH = "UnsafePath"
    UNSAFE_FORMAT = "UnsafeFormat"
    UNSUPPORTED_FORMAT = "UnsupportedFormat"
    INSUFFICIENT_DISK = "InsufficientDisk"
    STORE_FAILED = "StoreFailed"


RETRYABLE = frozenset({Reason.SOURCE_UNREACHABLE, Reason.STORE_FAILED})


class ErrorBody(TypedDict):
    """The wire form of a refusal."""

    reason: str
    message: str
    retryable: bool


class StoreError(Exception):
    """A model cannot be taken; `message` says what is wrong, where, and what to do."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message

    @property
    def retryable(self) -> bool:
        """True where the same request can succeed later without anybody changing the source."""
        return self.reason in RETRYABLE

    def body(self) -> ErrorBody:
        """The error as it goes onto the wire."""
        return {"reason": str(self.reason), "message": self.message, "retryable": self.retryable}


def shorten(name: str, limit: int = NAME_LIMIT) -> str:
    """A name fit for a message: names inside a checkpoint are foreign text of any length."""
    return name if len(name) <= limit else f"{name[: limit - 1]}…"


@contextmanager
def volume_errors() -> Iterator[None]:
    """Turn what the operating system says about a volume into a StoreError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(
                Reason.INSUFFICIENT_DISK,
                f"the volume filled up while files were written ({error.strerror}); give it more room",
            ) from error
        raise StoreError(
            Reason.STORE_FAILED, f"a volume failed: {error.strerror or error}; see the container's log"
        ) from error
