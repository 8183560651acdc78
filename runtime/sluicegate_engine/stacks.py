"""In each of vLLM's Python processes: a signal has it write where its threads are.

vLLM loads this as a plugin in all of them. It is faulthandler that answers, in C and inside the signal's
handler: a deadlock does not keep it from that, nor does native code that never gives the interpreter back.
"""

from __future__ import annotations

import faulthandler
import os
import signal
from contextlib import suppress
from pathlib import Path

SIGNAL = signal.SIGUSR2
VARIABLE = "SLUICEGATE_STACKS"
"""Names the folder for the answers: a file a process, named as its pid. It is there before any signal."""


def register() -> None:
    """Answer from now on, here and in whatever is forked. Without the folder's name this does nothing."""
    if VARIABLE in os.environ:
        _answer()
        os.register_at_fork(after_in_child=_answer)


def _answer() -> None:
    # An engine that cannot tell where it is serves all the same.
    with suppress(OSError):
        # Open for as long as the process lives: a handler can open nothing.
        file = Path(os.environ[VARIABLE], str(os.getpid())).open("wb")  # noqa: SIM115
        faulthandler.register(SIGNAL, file)
