"""Page-locked host memory for all parameters of a model."""

from __future__ import annotations

import mmap
import time
from collections.abc import Mapping
from contextlib import ExitStack
from itertools import accumulate

import torch

from sluicegate_engine.reload.accelerator import Accelerator
from sluicegate_engine.reload.checksums import pieces

_PAGE = 4096
_REST = 12
"""Times as long as the last piece took. What that leaves of the engine's tokens is in docs/benchmarks.md."""


class Layout:
    """Where each tensor lies in one block of memory: at the beginning of a page of its own."""

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self._forms = {name: (each.shape, each.dtype, each.nbytes) for name, each in tensors.items()}
        sizes = [-(-size // _PAGE) * _PAGE for *_, size in self._forms.values()]
        *self._places, self.bytes = accumulate(sizes, initial=0)

    def lay(self, block: torch.Tensor) -> dict[str, torch.Tensor]:
        """The tensors in this block of `bytes` bytes."""
        return {
            name: block[place : place + size].view(dtype).view(shape)
            for place, (name, (shape, dtype, size)) in zip(self._places, self._forms.items(), strict=True)
        }


def page_locked(layout: Layout, accelerator: Accelerator, ranks: int) -> dict[str, torch.Tensor]:
    """Take memory of this layout, for the life of the process. So many ranks do it at a time.

    CUDA launches nothing while memory is being locked. So it is done piece by piece, and between two pieces
    the engine has several times as long as the last one took: for each rank, since what holds one of them up
    holds up all. Copies then go by the same pieces: none may reach over two that were locked apart. Raises
    RefusedError RestartRequired InsufficientHostMemory.
    """
    block = mmap.mmap(-1, layout.bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    # Larger pages are locked faster, and no child process is to make copies of them.
    block.madvise(mmap.MADV_HUGEPAGE)
    block.madvise(mmap.MADV_DONTFORK)
    tensors = layout.lay(torch.frombuffer(block, dtype=torch.uint8))
    with ExitStack() as locked:
        for tensor in tensors.values():
            for (piece,) in pieces(tensor):
                piece.fill_(0)
                began = time.perf_counter()
                accelerator.lock(piece)
                locked.callback(accelerator.unlock, piece)
                time.sleep(_REST * ranks * (time.perf_counter() - began))
        locked.pop_all()
    return tensors
