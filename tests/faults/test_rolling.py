"""Many rollouts at once: none of their steps waits for the others."""

from __future__ import annotations

from tests.faults.rolling import delays, walks

LONGEST_WAIT_SECONDS = 5.0
ALONE = 5


def test_no_step_of_a_rollout_waits_long_for_others(nightly: bool) -> None:
    """A hundred of a thousand deployments; in the push tier ten of a hundred."""
    deployments, rolling = (1000, 100) if nightly else (100, 10)
    alone = walks(deployments, ALONE, at_once=False)
    together = walks(deployments, rolling, at_once=True)
    waits = {step: max(waited) for step, waited in delays(alone, together).items()}
    assert list(waits) == ["Preflight", "Provisioning", "Verifying", "Cutover", "Draining"]
    assert max(waits.values()) <= LONGEST_WAIT_SECONDS, waits
