"""What the supervisor is told at its start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """One run of the supervisor. Times are in seconds.

    `linger_seconds`: how long requests are still taken after the pod has turned not ready, because the news
    takes that long to reach everybody who sends. `drain_seconds`: how long the requests taken may then
    need. `stop_seconds`: how long vLLM may need to end before it is killed. The pod's grace period is longer
    than all three. `hold_seconds`: how long a reload may hold new requests before they are turned away.
    `doubt_seconds`, `stuck_seconds` and `first_answer_seconds` are what liveness.Patience calls doubt, stuck
    and first. `record` is the file of what this pod has committed by reloads, `store_url` where its store
    takes orders.
    `quarantine_record` is the file of what requests engines of this pod died with, `quarantine_seconds` how
    long one that is quarantined is refused.
    `request_log`: whether each generation request leaves a line in the log.
    """

    pointer: Path
    models: Path
    served_model_name: str
    host: str
    serving_port: int
    probe_port: int
    control_port: int
    control_token_file: Path
    max_concurrent: int
    max_queued: int
    max_queued_prompt_tokens: int | None
    drain_seconds: float
    linger_seconds: float
    stop_seconds: float
    hold_seconds: float
    doubt_seconds: float
    stuck_seconds: float
    first_answer_seconds: float
    store_url: str
    record: Path
    quarantine_record: Path
    quarantine_seconds: float
    termination_log: Path
    engine_module: str
    worker_extension: str
    request_log: bool
    engine_flags: tuple[str, ...]
