"""The way for engines that keep weights as they were loaded: new values into the storage of the old ones.

Parameters stay where they are, so compiled code and CUDA graphs go on with the new values. These lie ready in
page-locked host memory, and on the GPU too where there is room for them; what serves has a copy in the host's
memory as well, which is the way back. In the pause there is nothing but copies.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sluicegate_engine.reload.accelerator import Accelerator
from sluicegate_engine.reload.arena import Layout, page_locked
from sluicegate_engine.reload.checksums import PIECE_BYTES, digest, is_short, pieces, sums, words
from sluicegate_engine.reload.refusal import restart_required
from sluicegate_engine.reload.shadow import build_shadow, load, not_finite, stop_if

Tensors = Mapping[str, torch.Tensor]
Burst = list[tuple[torch.Tensor, ...]]
_LOADERS = 4
"""Threads of all ranks together, half of which read files; more take the engine's time, fewer take longer."""
_FEWEST_LOADERS = 2
"""Of a rank."""
_REST = 1
"""Of a reader after each tensor: times as long as that took."""
_RESERVE = 2 << 30
"""Bytes of the GPU's memory that are left to the engine for what it has not asked for yet."""


class InPlaceCopy:
    """An engine's stagings, one at a time. `fill` runs in a thread of its own, all else in the worker's.

    Its memory is two blocks of the weights' size on the host and maybe one on the GPU, taken when first
    needed. They are kept: giving them back would hold the engine up for seconds.

    `ranks` of the engine stage at a time, this one among them. They share one pace, for in each step of the
    engine all of them wait for the slowest.
    """

    def __init__(
        self, serving: torch.nn.Module, config: Any, accelerator: Accelerator, ranks: int = 1
    ) -> None:
        self._serving = {name: parameter.data for name, parameter in serving.named_parameters()}
        self._shadow = build_shadow(config)
        _require_alike(self._serving, dict(self._shadow.named_parameters()))
        self._layout = Layout(self._serving)
        self._accelerator = accelerator
        self._ranks = ranks
        self._filling = threading.Lock()
        self._blocks: list[Tensors] = []
        self._near: Tensors | None = None
        self._backed_up = False
        self._switched = False
        self._forth: Burst = []
        self._back: Burst = []
        self._digest = ""

    @property
    def host_bytes(self) -> int:
        """What it holds of the host's memory."""
        size: int = self._layout.bytes
        return len(self._blocks) * size

    def fill(self, directory: Path, cancelled: threading.Event) -> None:
        """Lay new weights ready. Raises RefusedError and CancelledError; what serves is not touched."""
        with self._filling, self._accelerator.beside_the_engine():
            self._take_memory(cancelled)
            if self._switched:
                # What was staged serves now, and its copy on the host is what the next way back needs.
                self._blocks.reverse()
                self._switched = False
            backup, staged = self._blocks
            self._back_up(backup, cancelled)
            for name, parameter in self._shadow.named_parameters():
                parameter.data = staged[name]
            loaders = max(_FEWEST_LOADERS, _LOADERS // self._ranks)
            load(self._shadow, directory, cancelled, loaders, _REST)
            self._measure(staged, cancelled)
            self._forth = _burst(self._serving, self._near or staged)
            self._back = _burst(self._serving, backup)

    def switch(self) -> None:
        """Let the staged weights serve, all of them or, where it raises, none."""
        self._switched = True
        try:
            self._copy(self._forth)
        except BaseException:
            self.restore()
            raise

    def restore(self) -> None:
        """Let serve what served before; nothing to do where it still does."""
        if self._switched:
            self._copy(self._back)
            self._switched = False

    def free(self) -> None:
        """Nothing: the memory is kept for the next time."""

    def other_digest(self) -> str:
        """Of the staged weights. Measured when they were staged: the host would take long over it."""
        return self._digest

    def _copy(self, burst: Burst) -> None:
        with torch.inference_mode():
            for target, source in burst:
                target.copy_(source, non_blocking=True)
            self._accelerator.finish()

    def _take_memory(self, cancelled: threading.Event) -> None:
        while len(self._blocks) < 2:
            stop_if(cancelled)
            self._blocks.append(page_locked(self._layout, self._accelerator, self._ranks))
        if self._near is None and self._accelerator.room() >= self._layout.bytes + _RESERVE:
            self._near = self._layout.lay(self._accelerator.take(self._layout.bytes))

    def _back_up(self, backup: Tensors, cancelled: threading.Event) -> None:
        """Once: later, what serves was staged before, and its copy is still there."""
        if not self._backed_up:
            for target, source in _burst(backup, self._serving):
                stop_if(cancelled)
                target.copy_(source, non_blocking=True)
                self._accelerator.finish()
            self._backed_up = True

    def _measure(self, staged: Tensors, cancelled: threading.Event) -> None:
        """Bring the staged weights to the GPU, to stay there where there is room.

        There they are summed up, and each value is looked at: on the processor a look at all of them would
        take seconds of the interpreter from the engine. Raises RefusedError NotFinite.
        """
        scratch = None if self._near else self._accelerator.take(PIECE_BYTES)

        def summed(name: str) -> torch.Tensor:
            tensor, found, extremes = staged[name], [], []
            for place, piece in pieces(self._near[name] if self._near else tensor, tensor):
                stop_if(cancelled)
                target = place if scratch is None else scratch[: piece.numel()]
                target.copy_(piece, non_blocking=True)
                # The place may be for the next piece, too.
                found.append(words(target).clone() if is_short(tensor) else sums(target))
                extremes += torch.aminmax(target.view(tensor.dtype))
                self._accelerator.finish()
            if not torch.stack(extremes).isfinite().all():
                raise not_finite(name)
            return torch.cat(found)

        self._digest = digest(summed(name) for name in sorted(staged) if staged[name].numel())


def _burst(targets: Tensors, sources: Tensors) -> Burst:
    return [pair for name, target in targets.items() for pair in pieces(target, sources[name])]


def _require_alike(serving: Tensors, shadow: Tensors) -> None:
    """Raises RefusedError RestartRequired where the engine keeps a weight otherwise than it loads it."""
    for name in sorted(serving.keys() | shadow.keys()):
        one, other = serving.get(name), shadow.get(name)
        if one is None or other is None or _form(one) != _form(other) or not one.is_contiguous():
            said = f"the engine keeps {name} in another form than it is loaded in"
            raise restart_required("LayoutDiffers", said)


def _form(tensor: torch.Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.dtype, tensor.stride()
