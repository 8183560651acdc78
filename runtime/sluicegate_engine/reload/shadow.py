"""A second instance of the served model, made by vLLM's own class and filled by vLLM's own loaders.

So the new weights come into the engine's own layout, fused and split among ranks as it has them, without this
code knowing how.
"""

from __future__ import annotations

import copy
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from vllm.config import CompilationMode
from vllm.model_executor.model_loader.utils import initialize_model
from vllm.utils.torch_utils import set_default_torch_dtype

from sluicegate_engine.reload.checksums import as_bytes, is_finite
from sluicegate_engine.reload.refusal import RefusedError

_TURN_SECONDS = 0.0005
_USUAL_TURN_SECONDS = sys.getswitchinterval()


class CancelledError(Exception):
    """Staging was given up."""


def build_shadow(config: Any) -> torch.nn.Module:
    """The model of this vLLM configuration on the CPU, with parameters that hold nothing yet.

    Only for the thread that runs the model: vLLM builds with settings that are global to the process. It
    takes a tenth of a second.
    """
    config = copy.copy(config)
    compilation = config.compilation_config = copy.copy(config.compilation_config)
    compilation.mode = CompilationMode.NONE
    # The places where layers make themselves known, which those that serve must keep.
    compilation.static_forward_context = {}
    if hasattr(compilation, "static_all_moe_layers"):
        compilation.static_all_moe_layers = []
    compilation.enabled_custom_ops, compilation.disabled_custom_ops = Counter(), Counter()
    config.cache_config = copy.copy(config.cache_config)
    with set_default_torch_dtype(config.model_config.dtype), torch.device("cpu"):
        return initialize_model(vllm_config=config, model_config=config.model_config).eval()


def load(
    shadow: torch.nn.Module, directory: Path, cancelled: threading.Event, threads: int = 1, rest: float = 0
) -> None:
    """Fill every parameter from the checkpoint; what that leaves out is NaN. Several threads take one of
    torch's each.

    Half of them read the files, in short turns of the interpreter, and after each tensor rest `rest` times as
    long as it took: what copies out of a mapped file holds the engine up, and what overwrites memory does
    little. docs/benchmarks.md has the figures.

    Raises RefusedError CheckpointIncomplete where the checkpoint leaves a parameter out, CheckpointCorrupt
    where a file cannot be read, and CancelledError.
    """
    parameters = dict(shadow.named_parameters())
    alone = (lambda: torch.set_num_threads(1)) if threads > 1 else None
    with ThreadPoolExecutor(threads, "sluicegate-loading", alone) as pool:
        list(pool.map(_poison, parameters.values()))
        with _short_turns():
            readers = -(-threads // 2)
            parts = pool.map(lambda part: _load(shadow, part, cancelled, rest), _parts(directory, readers))
            loaded: set[str] = set().union(*parts)
    if missing := sorted(parameters.keys() - loaded):
        raise RefusedError(
            "CheckpointIncomplete", f"the checkpoint has no values for {missing[0]} ({len(missing)} such)"
        )


def require_finite(shadow: torch.nn.Module, cancelled: threading.Event) -> None:
    """Raises RefusedError NotFinite where a value is NaN, infinite or left out, and CancelledError."""
    for name, parameter in shadow.named_parameters():
        stop_if(cancelled)
        if not is_finite(parameter):
            raise not_finite(name)


def not_finite(name: str) -> RefusedError:
    return RefusedError(
        "NotFinite", f"{name} holds NaN or infinity, or the checkpoint leaves a part of it out"
    )


@contextmanager
def _short_turns() -> Iterator[None]:
    """In the block who waits for the interpreter, the engine for one, has it ten times as soon."""
    sys.setswitchinterval(_TURN_SECONDS)
    try:
        yield
    finally:
        # Not what was set before: another staging, which is being given up, may have set that.
        sys.setswitchinterval(_USUAL_TURN_SECONDS)


def stop_if(cancelled: threading.Event) -> None:
    """Raises CancelledError once staging is given up."""
    if cancelled.is_set():
        raise CancelledError


def _poison(parameter: torch.Tensor) -> None:
    """All bits set is NaN in every floating dtype: what no loader writes is found out by it."""
    as_bytes(parameter).fill_(0xFF)


def _parts(directory: Path, count: int) -> list[list[tuple[Path, str]]]:
    """The checkpoint's tensors, as file and name, in parts of about equal size."""
    found: list[tuple[Path, str]] = []
    for file in sorted(directory.glob("*.safetensors")):
        with _opened(file) as opened:
            found += ((file, name) for name in opened.keys())  # noqa: SIM118 - not a mapping
    return [found[number::count] for number in range(count)]


def _load(shadow: Any, part: list[tuple[Path, str]], cancelled: threading.Event, rest: float) -> set[str]:
    with torch.no_grad():
        loaded: set[str] = shadow.load_weights(_tensors(part, cancelled, rest))
    return loaded


def _tensors(
    part: list[tuple[Path, str]], cancelled: threading.Event, rest: float
) -> Iterator[tuple[str, torch.Tensor]]:
    for file, entries in groupby(part, key=itemgetter(0)):
        with _opened(file) as opened:
            for _, name in entries:
                stop_if(cancelled)
                began = time.perf_counter()
                yield name, opened.get_tensor(name)
                time.sleep(rest * (time.perf_counter() - began))


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    try:
        with safe_open(file, "pt") as opened:
            yield opened
    except (OSError, ValueError) as error:
        raise RefusedError("CheckpointCorrupt", f"{file.name}: {error}") from error
