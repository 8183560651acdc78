"""The engine's last words, without a word of its users.

Until the first client is let in no prompt exists, so lines are kept as they are. From then on a line may
quote a prompt (an exception's message, a validation error), and the lines of a prompt look like anything. So
only what says nothing of a user's is kept: the frames that lie in files of this very installation, and the
name of the exception class right after such a frame.
"""

from __future__ import annotations

import json
import re
import sys
import sysconfig
from collections import deque
from pathlib import Path

from sluicegate_engine import journal
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
_FRAME = re.compile(r'^ *(File "([^"]{1,200})", line \d{1,6})\b')
_SOURCE_LINE = "    "
_EXCEPTION = re.compile(r"^[A-Za-z_][\w.]{0,100}(Error|Exception|Interrupt)(?=:|$)")
_VALIDATION = re.compile(r"\d+ validation errors? for \w+$")
"""What pydantic found wrong stands on the line after, and without it nobody is the wiser."""
_FATAL = re.compile(
    r"^Fatal Python error: "
    r"(Aborted|Bus error|Floating-point exception|Illegal instruction|Segmentation fault)$"
)
_INSTALLED = tuple(f"{tree}/" for tree in (sys.prefix, sysconfig.get_path("stdlib")))


class Evidence:
    """Collects the lines that the engine writes and keeps the telling ones."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._causes: list[str] = []
        self._users_present = False
        self._in_frame = False

    def users_arrive(self) -> None:
        """From now on, keep nothing that could quote a user."""
        self._users_present = True
        self._causes.clear()
        self._lines.clear()

    def add(self, line: str) -> None:
        # Of each request there is one, between the lines of a traceback too.
        if line.startswith(journal.START):
            return
        bare = _LOG_HEADER.sub("", _PREFIX.sub("", _COLOUR.sub("", line.rstrip())))
        kept = self._structure(bare) if self._users_present else bare.strip()[:_LINE_LENGTH]
        if not kept:
            return
        self._lines.append(kept)
        if self._causes and _VALIDATION.search(self._causes[-1]):
            self._causes[-1] += f": {kept}"
        elif _EXCEPTION.match(kept) and len(self._causes) < _KEPT_CAUSES:
            self._causes.append(kept)

    def _structure(self, line: str) -> str:
        """What of a line is no user's; "" where nothing is."""
        if frame := _FRAME.match(line):
            self._in_frame = _is_installed(frame[2])
            return frame[1] if self._in_frame else ""
        if line.startswith(_SOURCE_LINE):
            return ""
        found = (self._in_frame and _EXCEPTION.match(line)) or _FATAL.match(line)
        self._in_frame = False
        return found.group() if found else ""

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


def _is_installed(file: str) -> bool:
    return file.startswith(_INSTALLED) and Path(file).is_file()
