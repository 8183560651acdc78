"""What staging needs of a GPU, and nothing else: tests have another that is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import torch

from sluicegate_engine.reload.refusal import restart_required


class Accelerator(Protocol):
    """A GPU with host memory that it reads at the full speed of its bus. Sizes are in bytes."""

    def beside_the_engine(self) -> AbstractContextManager[None]:
        """In the block this thread and the engine do not wait for each other on the GPU."""

    def lock(self, memory: torch.Tensor) -> None:
        """Lock host memory to its pages. Raises RefusedError RestartRequired InsufficientHostMemory."""

    def unlock(self, memory: torch.Tensor) -> None:
        """Before memory that was locked is given back."""

    def finish(self) -> None:
        """Wait for what this thread has begun on the GPU."""

    def room(self) -> int:
        """How much of the GPU's memory nobody has taken."""

    def take(self, size: int) -> torch.Tensor:
        """A row of bytes in the GPU's memory."""


class Cuda:
    """The GPU of this worker."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)

    @contextmanager
    def beside_the_engine(self) -> Iterator[None]:
        torch.cuda.set_device(self._device)
        with torch.cuda.stream(self._stream):
            yield

    def lock(self, memory: torch.Tensor) -> None:
        error = int(torch.cuda.cudart().cudaHostRegister(memory.data_ptr(), memory.numel(), 0))
        if error:
            said = f"host memory cannot be locked to its pages (CUDA error {error})"
            raise restart_required("InsufficientHostMemory", said)

    def unlock(self, memory: torch.Tensor) -> None:
        torch.cuda.cudart().cudaHostUnregister(memory.data_ptr())

    def finish(self) -> None:
        torch.cuda.current_stream().synchronize()

    def room(self) -> int:
        free: int = torch.cuda.mem_get_info(self._device)[0]
        return free

    def take(self, size: int) -> torch.Tensor:
        return torch.empty(size, dtype=torch.uint8, device=self._device)
