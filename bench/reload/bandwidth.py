"""What the machine's bus carries between page-locked host memory and the GPU: the least that a copy can take.

Prints {"up": bytes a second to the GPU, "down": from it}. A process of its own, so that nothing of it is on
the GPU afterwards.
"""

from __future__ import annotations

import json
import time

BYTES = 1 << 30
ROUNDS = 8


def measure() -> dict[str, float]:
    import torch

    host = torch.empty(BYTES, dtype=torch.uint8, pin_memory=True).fill_(1)
    device = torch.empty(BYTES, dtype=torch.uint8, device="cuda")

    def rate(target: torch.Tensor, source: torch.Tensor) -> float:
        target.copy_(source, non_blocking=True)
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(ROUNDS):
            target.copy_(source, non_blocking=True)
        torch.cuda.synchronize()
        return ROUNDS * BYTES / (time.perf_counter() - began)

    return {"up": rate(device, host), "down": rate(host, device)}


if __name__ == "__main__":
    print(json.dumps(measure()))
