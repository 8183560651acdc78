"""The way for engines that repack weights after loading: a whole second model, exchanged layer by layer.

Packed weights are opaque and belong to their layer, so no value can be copied into them. What is exchanged is
a few references a layer; doing it again is the way back.
"""

from __future__ import annotations

import ctypes
import threading
from pathlib import Path
from typing import Any

import torch
from vllm.model_executor.model_loader.utils import process_weights_after_loading

from sluicegate_engine.reload.checksums import PACKED, digest, fingerprints
from sluicegate_engine.reload.refusal import restart_required
from sluicegate_engine.reload.shadow import build_shadow, load, require_finite

Pair = tuple[torch.nn.Module, torch.nn.Module]


class Exchange:
    """One staged model. `fill` runs in a thread of its own, all else in the worker's."""

    def __init__(self, serving: torch.nn.Module, config: Any) -> None:
        self._serving = serving
        self._config = config
        self._shadow = build_shadow(config)
        self._pairs: list[Pair] = []
        self._exchanged: list[Pair] = []

    def fill(self, directory: Path, cancelled: threading.Event) -> None:
        """Load and repack. Raises RefusedError and CancelledError; the serving model is not touched."""
        load(self._shadow, directory, cancelled)
        require_finite(self._shadow, cancelled)
        process_weights_after_loading(self._shadow, self._config.model_config, torch.device("cpu"))
        self._pairs = list(_pairs(self._serving, self._shadow).values())

    def switch(self) -> None:
        """Let the staged weights serve, all of them or, where it raises, none."""
        try:
            for pair in self._pairs:
                exchange(pair)
                self._exchanged.append(pair)
        except BaseException:
            self.restore()
            raise

    def restore(self) -> None:
        """Let serve what served before; nothing to do where it still does."""
        while self._exchanged:
            exchange(self._exchanged[-1])
            self._exchanged.pop()

    def free(self) -> None:
        """Let go of the weights that do not serve. References among layers would keep them for long else."""
        for layer in set(self._shadow.modules()) - set(self._serving.modules()):
            layer._parameters.clear()
            layer.__dict__.pop(PACKED, None)
        # Else the C library keeps what is given back: of 800 MB of weights 800 MB after five reloads.
        ctypes.CDLL(None).malloc_trim(0)

    def other_digest(self) -> str:
        """Of the weights that do not serve: the staged ones, and after a switch the ones before."""
        return digest(fingerprints(self._shadow))


def exchange(pair: Pair) -> None:
    one, other = pair
    one._parameters, other._parameters = other._parameters, one._parameters
    if PACKED in one.__dict__:
        one.__dict__[PACKED], other.__dict__[PACKED] = other.__dict__[PACKED], one.__dict__[PACKED]


def _pairs(serving: torch.nn.Module, shadow: torch.nn.Module) -> dict[str, Pair]:
    """The layers that hold weights, by name. Raises RefusedError RestartRequired where two are not alike."""
    ours, theirs = dict(serving.named_modules()), dict(shadow.named_modules())
    found = {}
    for name in ours.keys() | theirs.keys():
        one, other = ours.get(name), theirs.get(name)
        if one is None or other is None or _form(one) != _form(other):
            raise restart_required(
                "LayoutDiffers", f"layer {name} of the new model is not like the served one"
            )
        # Some layers without weights, such as rotary embeddings, are one object in all models of a process.
        if one is not other and (one._parameters or PACKED in one.__dict__):
            found[name] = one, other
    return found


def _form(layer: torch.nn.Module) -> tuple[object, ...]:
    parameters = [(name, p.shape, p.dtype) for name, p in layer._parameters.items() if p is not None]
    return type(layer), sorted(parameters, key=lambda each: each[0]), PACKED in layer.__dict__
