"""A second instance of the served model, made by vLLM's own class and filled by vLLM's own loaders.

So the new weights come into the engine's own layout, fused and split among ranks as it has them, without this
code knowing how.
"""

from __future__ import annotations

import copy
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from vllm.config import CompilationMode
from vllm.model_executor.model_loader.utils import initialize_model
from vllm.utils.torch_utils import set_default_torch_dtype

from sluicegate_engine.reload.checksums import is_finite
from sluicegate_engine.reload.refusal import RefusedError


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


def load(shadow: torch.nn.Module, directory: Path, cancelled: threading.Event) -> None:
    """Fill every parameter from the checkpoint.

    Raises RefusedError CheckpointIncomplete where the checkpoint leaves a parameter out, NotFinite where a
    value is NaN, infinite or left out, CheckpointCorrupt where a file cannot be read, and CancelledError.
    """
    parameters = dict(shadow.named_parameters())
    with torch.no_grad():
        for parameter in parameters.values():
            # All bits set is NaN in every floating dtype: what no loader writes is found out below.
            parameter.data.view(torch.uint8).fill_(0xFF)
        loaded = shadow.load_weights(_tensors(directory, cancelled))
    if missing := sorted(parameters.keys() - loaded):
        raise RefusedError(
            "CheckpointIncomplete", f"the checkpoint has no values for {missing[0]} ({len(missing)} such)"
        )
    for name, parameter in parameters.items():
        _stop_if(cancelled)
        if not is_finite(parameter):
            raise RefusedError(
                "NotFinite", f"{name} holds NaN or infinity, or the checkpoint leaves a part of it out"
            )


def _tensors(directory: Path, cancelled: threading.Event) -> Iterator[tuple[str, torch.Tensor]]:
    for file in sorted(directory.glob("*.safetensors")):
        try:
            with safe_open(file, "pt") as opened:
                for name in opened.keys():  # noqa: SIM118 - not a mapping
                    _stop_if(cancelled)
                    yield name, opened.get_tensor(name)
        except (OSError, ValueError) as error:
            raise RefusedError("CheckpointCorrupt", f"{file.name}: {error}") from error


def _stop_if(cancelled: threading.Event) -> None:
    if cancelled.is_set():
        raise CancelledError
