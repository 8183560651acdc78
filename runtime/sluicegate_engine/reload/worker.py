"""What vLLM's workers do for a reload (--worker-extension-cls): one of these is part of every rank's worker.

With several ranks vLLM matches answers to calls by their order alone, so an exception or a timeout would
shift all later answers for ever. No method raises: each returns a dict whose "ok" tells.

What it needs of vLLM it imports when it is asked: a vLLM that lacks it serves, and is not changed in place.
"""

from __future__ import annotations

import functools
import os
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluicegate_engine.reload.capability import EngineFacts, Way, way_for
from sluicegate_engine.reload.refusal import RefusedError, restart_required

if TYPE_CHECKING:
    from sluicegate_engine.reload.accelerator import Accelerator
    from sluicegate_engine.reload.exchange import Exchange
    from sluicegate_engine.reload.inplace import InPlaceCopy

Answer = dict[str, Any]
_NICE = 10


def never_raises(method: Callable[..., Answer | None]) -> Callable[..., Answer]:
    """Turns whatever a method raises into an answer."""

    @functools.wraps(method)
    def answered(*arguments: Any, **options: Any) -> Answer:
        try:
            return {"ok": True, **(method(*arguments, **options) or {})}
        except Exception as error:
            return _failure(error)

    return answered


def _failure(error: Exception) -> Answer:
    if isinstance(error, ImportError):
        error = restart_required("UnsupportedEngine", f"this vLLM is not one that was tested ({error})")
    if isinstance(error, RefusedError):
        return {"ok": False, "reason": error.reason, "message": error.message}
    traceback.print_exception(error)
    return {"ok": False, "reason": "WorkerFailed", "message": f"{type(error).__name__}: {error}"}


class _Stage:
    """Weights that lie or will lie ready; `answer` is there when they do, or when it has failed."""

    def __init__(self, way: Exchange | InPlaceCopy, directory: Path) -> None:
        self.way = way
        self.answer: Answer | None = None
        self._directory = directory
        self._cancelled = threading.Event()
        self._filling = threading.Thread(target=self._fill, daemon=True, name="sluicegate-staging")
        self._filling.start()

    def drop(self) -> None:
        """Give the memory back. That takes a while for gigabytes, which is not to be the engine's time."""
        self._cancelled.set()
        threading.Thread(target=self._free, daemon=True, name="sluicegate-freeing").start()

    def _fill(self) -> None:
        began = time.perf_counter()
        # Staging yields to the engine on a busy processor.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        try:
            self.way.fill(self._directory, self._cancelled)
            self.answer = {"ok": True, "seconds": time.perf_counter() - began}
        except Exception as error:
            self.answer = _failure(error)

    def _free(self) -> None:
        self._filling.join()
        self.way.free()


class ReloadExtension:
    """The methods that the gate calls by name; every other attribute belongs to vLLM's worker."""

    vllm_config: Any
    model_runner: Any
    device: Any

    @never_raises
    def sluicegate_describe(self) -> Answer:
        """What decides whether the model can be changed in place; see capability.EngineFacts."""
        return asdict(self._sluicegate_facts)

    @never_raises
    def sluicegate_stage(self, directory: str) -> None:
        """Begin to lay the weights of this folder ready; `sluicegate_staging` tells how it goes."""
        self._sluicegate_drop()
        self.__dict__["_sluicegate_stage"] = _Stage(self._sluicegate_way(), Path(directory))

    @never_raises
    def sluicegate_staging(self) -> Answer:
        """{"staged": False} while staging, then {"staged": True}, or the failure."""
        answer = self._sluicegate_staged.answer
        return {"staged": False} if answer is None else {"staged": True, **answer}

    @never_raises
    def sluicegate_checksum(self, staged: bool) -> Answer:
        """The digest of the weights that serve, or of those that don't."""
        if staged:
            return {"digest": self._sluicegate_staged.way.other_digest()}
        from sluicegate_engine.reload.checksums import digest, fingerprints

        return {"digest": digest(fingerprints(self.model_runner.get_model()))}

    @never_raises
    def sluicegate_switch(self) -> Answer:
        """Let the staged weights serve. Nothing may be in flight."""
        began = time.perf_counter()
        self._sluicegate_staged.way.switch()
        return {"seconds": time.perf_counter() - began}

    @never_raises
    def sluicegate_restore(self) -> None:
        """Let the weights serve that served before the switch, however far that came."""
        self._sluicegate_staged.way.restore()

    @never_raises
    def sluicegate_release(self) -> None:
        """Give up what does not serve. A staging under way ends soon after."""
        self._sluicegate_drop()

    @property
    def _sluicegate_facts(self) -> EngineFacts:
        from vllm.config import CompilationMode

        config = self.vllm_config
        model, parallel = config.model_config, config.parallel_config
        speculation, copy = config.speculative_config, self.__dict__.get("_sluicegate_copy")
        return EngineFacts(
            architecture=model.architecture,
            quantization=model.quantization,
            device=str(config.device_config.device_type),
            dtype=str(model.dtype).removeprefix("torch."),
            element_bytes=model.dtype.itemsize,
            tensor_parallel=parallel.tensor_parallel_size,
            other_parallel=parallel.world_size_across_dp // parallel.tensor_parallel_size,
            compiled=config.compilation_config.mode != CompilationMode.NONE,
            speculation=None if speculation is None else speculation.method,
            adapters=config.lora_config is not None,
            host_bytes=0 if copy is None else copy.host_bytes,
        )

    def _sluicegate_way(self) -> Exchange | InPlaceCopy:
        """How new weights are brought in. What copies has memory of its own, and is the same for ever."""
        model = self.model_runner.get_model()
        if way_for(self._sluicegate_facts) is Way.EXCHANGE:
            from sluicegate_engine.reload.exchange import Exchange

            return Exchange(model, self.vllm_config)
        copy: InPlaceCopy | None = self.__dict__.get("_sluicegate_copy")
        if copy is None:
            from sluicegate_engine.reload.inplace import InPlaceCopy

            ranks = self.vllm_config.parallel_config.tensor_parallel_size
            copy = InPlaceCopy(model, self.vllm_config, self._sluicegate_accelerator(), ranks)
            self.__dict__["_sluicegate_copy"] = copy
        return copy

    def _sluicegate_accelerator(self) -> Accelerator:
        from sluicegate_engine.reload.accelerator import Cuda

        return Cuda(self.device)

    @property
    def _sluicegate_staged(self) -> _Stage:
        stage: _Stage | None = self.__dict__.get("_sluicegate_stage")
        if stage is None:
            raise RefusedError("NothingStaged", "this rank has no weights staged")
        return stage

    def _sluicegate_drop(self) -> None:
        stage: _Stage | None = self.__dict__.pop("_sluicegate_stage", None)
        if stage is not None:
            stage.drop()
