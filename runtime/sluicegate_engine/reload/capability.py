"""What can be changed in place, and how: a closed list, each line of which is tested by changing it.

A line exists only where tests have loaded the same weights (every checksum equal), other weights (answers
equal to those of a fresh start, token for token) and failed on purpose (checksums as before).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from sluicegate_engine.reload.refusal import RefusedError, restart_required


class Way(StrEnum):
    """How weights are changed."""

    EXCHANGE = "Exchange"
    """A second model, loaded and repacked beside the first, and the two exchanged layer by layer."""
    COPY = "Copy"
    """New values copied from page-locked host memory into the storage of the old ones."""


@dataclass(frozen=True)
class EngineFacts:
    """What the engine says of itself. One value of a weight is of `dtype` and takes `element_bytes`.

    `other_parallel` is pipeline, data and context parallelism, multiplied. `host_bytes` is what its
    ranks together have taken of the host's memory already and keep for reloads.
    """

    architecture: str
    quantization: str | None
    device: str
    dtype: str
    element_bytes: int
    tensor_parallel: int
    other_parallel: int
    compiled: bool
    speculation: str | None
    adapters: bool
    host_bytes: int


@dataclass(frozen=True)
class Capability:
    """A line of the list: what an engine may be, and the way for it."""

    architectures: frozenset[str]
    device: str
    dtypes: frozenset[str]
    most_tensor_parallel: int
    may_be_compiled: bool
    way: Way


CAPABILITIES = (
    Capability(
        frozenset({"LlamaForCausalLM"}),
        "cpu",
        frozenset({"bfloat16", "float16", "float32"}),
        most_tensor_parallel=2,
        may_be_compiled=False,
        way=Way.EXCHANGE,
    ),
    Capability(
        frozenset({"LlamaForCausalLM"}),
        "cuda",
        frozenset({"bfloat16"}),
        most_tensor_parallel=2,
        may_be_compiled=True,
        way=Way.COPY,
    ),
)


def way_for(facts: EngineFacts) -> Way:
    """The way for this engine. Raises RefusedError RestartRequired where it is not on the list."""
    for check in CHECKS:
        if refusal := check(facts):
            raise refusal
    return next(each.way for each in CAPABILITIES if _fits(each, facts))


def _fits(capability: Capability, facts: EngineFacts) -> bool:
    return facts.device == capability.device and facts.architecture in capability.architectures


def _lines(facts: EngineFacts) -> list[Capability]:
    return [each for each in CAPABILITIES if _fits(each, facts)]


def _architecture(facts: EngineFacts) -> RefusedError | None:
    if _lines(facts):
        return None
    said = f"{facts.architecture} on {facts.device} is not among what is changed in place"
    return restart_required("UnsupportedArchitecture", said)


def _dtype(facts: EngineFacts) -> RefusedError | None:
    if any(facts.dtype in each.dtypes for each in _lines(facts)):
        return None
    said = f"weights of {facts.dtype} on {facts.device} are not changed in place"
    return restart_required("UnsupportedDtype", said)


def _quantization(facts: EngineFacts) -> RefusedError | None:
    if facts.quantization is None:
        return None
    return restart_required(
        "UnsupportedQuantization", f"weights quantised as {facts.quantization} are not changed in place"
    )


def _parallelism(facts: EngineFacts) -> RefusedError | None:
    most = max(each.most_tensor_parallel for each in _lines(facts))
    if facts.tensor_parallel <= most and facts.other_parallel == 1:
        return None
    said = f"of parallel engines only those of at most {most} tensor-parallel ranks are changed in place"
    return restart_required("UnsupportedParallelism", said)


def _compilation(facts: EngineFacts) -> RefusedError | None:
    if not facts.compiled or any(each.may_be_compiled for each in _lines(facts)):
        return None
    said = "compiled code keeps hold of the weights it was made for; start with --enforce-eager"
    return restart_required("CompiledEngine", said)


def _speculation(facts: EngineFacts) -> RefusedError | None:
    if facts.speculation is None:
        return None
    said = f"speculative decoding ({facts.speculation}) was made for the model that is served"
    return restart_required("UnsupportedSpeculation", said)


def _adapters(facts: EngineFacts) -> RefusedError | None:
    if not facts.adapters:
        return None
    return restart_required("UnsupportedAdapters", "the weights are wrapped by LoRA layers")


CHECKS: tuple[Callable[[EngineFacts], RefusedError | None], ...] = (
    _architecture,
    _dtype,
    _quantization,
    _parallelism,
    _compilation,
    _speculation,
    _adapters,
)
