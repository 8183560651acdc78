"""The one error of this package: something that ends the container, said so that it can be put right."""

from __future__ import annotations


class FatalError(Exception):
    """Ends the supervisor. `reason` is one CamelCase word; `message` says what, where and what to do."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
