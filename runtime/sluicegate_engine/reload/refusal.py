"""Why a pod does not change its model in place, said so that the operator and a person know what to do."""

from __future__ import annotations

RESTART_REQUIRED = "RestartRequired"


class RefusedError(Exception):
    """The reload ends before the engine has changed. `reason` is one CamelCase word."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


def restart_required(particular: str, message: str) -> RefusedError:
    """What a new pod may well be able to do and this one is not; `particular` is the CamelCase cause."""
    return RefusedError(RESTART_REQUIRED, f"{particular}: {message}")
