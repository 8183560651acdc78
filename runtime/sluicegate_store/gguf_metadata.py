"""Typed access to a GGUF file's key-value pairs: what is missing or of the wrong type is said by its key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from sluicegate_store.errors import Reason, StoreError, shorten

T = TypeVar("T")


class GgufMetadata:
    """Pairs as the `gguf` package decodes them."""

    def __init__(self, pairs: Mapping[str, Any]) -> None:
        self._pairs = pairs

    def __contains__(self, key: str) -> bool:
        return key in self._pairs

    def text(self, key: str, default: str | None = None) -> str:
        """A string; CheckpointCorrupt if it is missing without a default or no string."""
        return self._get(key, str, default)

    def integer(self, key: str, default: int | None = None) -> int:
        """A non-negative whole number, one for all layers."""
        value = self._get(key, int, default)
        if value < 0:
            raise StoreError(Reason.CHECKPOINT_CORRUPT, f"GGUF metadata {key} is negative; export it again")
        return value

    def optional_integer(self, key: str) -> int | None:
        """A non-negative whole number or None."""
        return self.integer(key) if key in self._pairs else None

    def flag(self, key: str, default: bool) -> bool:
        """A truth value."""
        return self._get(key, bool, default)

    def number(self, key: str, default: float | None = None) -> float:
        """A float32, as the shortest decimal that means the same: 1e-05, not 9.999999747378752e-06."""
        return float(str(np.float32(self._get(key, float, default))))

    def strings(self, key: str) -> list[str]:
        """A list of strings."""
        return self._list(key, str)

    def integers(self, key: str) -> list[int]:
        """A list of whole numbers."""
        return self._list(key, int)

    def _get(self, key: str, kind: type[T], default: T | None) -> T:
        value = self._pairs.get(key, default)
        if not isinstance(value, kind):
            raise _unusable(key, value is None, kind.__name__)
        return value

    def _list(self, key: str, kind: type[T]) -> list[T]:
        values = self._get(key, list, None)
        if not all(isinstance(value, kind) for value in values):
            raise _unusable(key, False, f"list of {kind.__name__}")
        return values


def _unusable(key: str, missing: bool, kind: str) -> StoreError:
    state = "is missing" if missing else f"is no {kind}"
    return StoreError(
        Reason.CHECKPOINT_CORRUPT, f"GGUF metadata {shorten(key)} {state}; export the model again"
    )
