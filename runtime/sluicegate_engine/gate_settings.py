"""What the supervisor tells the gate through vLLM's environment: vLLM gives a middleware no arguments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

VARIABLE = "SLUICEGATE_GATE"
KEY_HEADER = "x-sluicegate-key"
VERSION_HEADER = "x-sluicegate-model-version"
PRIORITY_HEADER = "x-sluicegate-priority"


@dataclass(frozen=True)
class GateSettings:
    """`link` is the supervisor's socket; `key` lets its own requests through whatever the gate says.

    `version` is stamped on answers until the supervisor says otherwise. Without `max_queued_prompt_tokens`,
    only requests are counted. A request is read whole before it takes a place in the queue: `max_body_bytes`
    and `max_read_seconds` bound one, `max_held_bytes` all that are not yet vLLM's.

    `suspects`, by fingerprint under `fingerprint_key`, are refused as quarantine.Quarantine says. `roster` is
    the inherited descriptor of the memory that says who is with the engine; -1 for memory of the gate's own.
    """

    link: str
    key: str
    version: str
    max_concurrent: int
    max_queued: int
    max_queued_prompt_tokens: int | None = None
    max_body_bytes: int = 32 * 1024 * 1024
    max_held_bytes: int = 128 * 1024 * 1024
    max_read_seconds: float = 60
    request_log: bool = True
    roster: int = -1
    fingerprint_key: str = ""
    suspects: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    quarantine_seconds: float = 600

    def encode(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_environment(environment: Mapping[str, str]) -> GateSettings:
        if VARIABLE not in environment:
            raise RuntimeError(f"{VARIABLE} is not set: the gate works only under sluicegate-engine run")
        return GateSettings(**json.loads(environment[VARIABLE]))
