"""The engine's last words, without a word of its users.

Until the first client is let in no prompt exists, so lines are kept as they are. From then on a line may
quote a prompt (an exception's message, a validation error), so only what cannot is kept: where a traceback's
frames are, and the names of exception classes.
"""

from __future__ import annotations

import json
import re
from collections import deque
from pathlib import Path

from sluicegate_engine.fatal import FatalError

LIMIT_BYTES = 2048
NOTE = json.dumps({"note": "requests were taken; the log may quote them and so is not repeated here"})
"""The termination message while users are served. Kubernetes puts the tail of the log, prompts and all, in
place of an empty one, and whoever is killed leaves no other."""
_KEPT_LINES = 20
_KEPT_CAUSES = 3
_LINE_LENGTH = 300

_PREFIX = re.compile(r"^\([^()]{1,40} pid=\d+\) ")
_LOG_HEADER = re.compile(r"^(DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d [\d:.]+ \[[\w./-]+:\d+\] ?")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_FRAME = re.compile(r'^File "[^"]{1,200}", line \d+, in [\w<>.]{1,80}')
_EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*(Error|Exception|Interrupt)(?=:|$)")
_VALIDATION = re.compile(r"\d+ validation errors? for \w+$")
"""What pydantic found wrong stands on the line after, and without it nobody is the wiser."""
_FATAL = re.compile(r"^Fatal Python error: [A-Za-z ]{1,60}")


class Evidence:
    """Collects the lines that the engine writes and keeps the telling ones."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._causes: list[str] = []
        self._users_present = False

    def users_arrive(self) -> None:
        """From now on, keep nothing that could quote a user."""
        self._users_present = True
        self._causes.clear()
        self._lines.clear()

    def add(self, line: str) -> None:
        bare = _LOG_HEADER.sub("", _PREFIX.sub("", _COLOUR.sub("", line.rstrip()))).strip()
        kept = _structure(bare) if self._users_present else bare[:_LINE_LENGTH]
        if not kept:
            return
        self._lines.append(kept)
        if self._causes and _VALIDATION.search(self._causes[-1]):
            self._causes[-1] += f": {kept}"
        elif _EXCEPTION.match(kept) and len(self._causes) < _KEPT_CAUSES:
            self._causes.append(kept)

    @property
    def cause(self) -> str:
        """The first exception seen, which is where trouble began; without one, the last line."""
        return next(iter([*self._causes, *reversed(self._lines)]), "")

    def statement(self, failure: FatalError) -> str:
        """The termination message: JSON of at most 2 KiB, {"error": {reason, message}, "lastLines": []}."""
        lines = list(self._lines)
        message = failure.message[:800]
        while True:
            error = {"reason": failure.reason, "message": message}
            text = json.dumps({"error": error, "lastLines": lines})
            if len(text.encode()) <= LIMIT_BYTES:
                return text
            if lines:
                lines.pop(0)
            else:
                message = message[: len(message) // 2]


def write_statement(path: Path, text: str) -> bool:
    """Write the termination message. False where the path cannot be written (outside a pod)."""
    try:
        path.write_text(text)
    except OSError:
        return False
    return True


def _structure(line: str) -> str:
    found = _FRAME.match(line) or _EXCEPTION.match(line) or _FATAL.match(line)
    return found.group() if found else ""
