"""Whether the container has the memory that staging takes: the kernel would kill it in the middle else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sluicegate_engine.reload.capability import EngineFacts, Way
from sluicegate_engine.reload.refusal import restart_required
from sluicegate_engine.reload.snapshot import Tensor

_RESERVE = 128 << 20
_UNLIMITED = 1 << 60
"""Version 1 of cgroups says so by a number near 2⁶³."""


@dataclass(frozen=True)
class Room:
    """Bytes that the container may have, and that it holds without what the kernel can take back at once."""

    limit: int
    held: int

    @property
    def free(self) -> int:
        return self.limit - self.held


def container_room(root: Path = Path("/sys/fs/cgroup")) -> Room | None:
    """What the control group says of this container; None where nothing bounds it."""
    for folder, limit, usage, reclaimable in (
        (root, "memory.max", "memory.current", "inactive_file"),
        (root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            most, held = (folder / limit).read_text().strip(), int((folder / usage).read_text())
            statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):
            continue
        if not most.isdigit() or int(most) > _UNLIMITED:
            return None
        return Room(int(most), held - int(statistics.get(reclaimable, 0)))
    return None


def staging_bytes(tensors: Iterable[Tensor], facts: EngineFacts, way: Way) -> int:
    """What all ranks together have yet to take to stage these tensors, in the dtype that the engine has."""
    sizes = [tensor.elements * facts.element_bytes for tensor in tensors]
    if way is Way.COPY:
        # One copy of what serves and one of what is staged, each rank of its share, kept once taken. What
        # every rank has whole, such as norms, is small beside the reserve.
        return max(0, 2 * sum(sizes) - facts.host_bytes)
    # Of the largest, which are the embeddings, the CPU backend keeps a repacked copy beside the plain one.
    return sum(sizes) + 2 * max(sizes)


def require_room(room: Room | None, needed: int) -> None:
    """Raises RefusedError RestartRequired InsufficientHostMemory."""
    if room is not None and needed + _RESERVE > room.free:
        wanted = -(-(room.held + needed + _RESERVE) >> 20)
        raise restart_required(
            "InsufficientHostMemory",
            f"staging takes {_mib(needed)}, and of the container's {_mib(room.limit)} are {_mib(room.free)} "
            f"free, {_mib(_RESERVE)} of them in reserve; set resources.memory to {wanted}Mi or more",
        )


def _mib(count: int) -> str:
    return f"{count >> 20:,} MiB"
