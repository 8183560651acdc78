"""What `kubectl get llmd` shows from step to step of whole rollouts: a row each time that it changes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.builders import RUNNING, STARTING, ADeployment, ended, unschedulable
from tests.core.cluster import Cluster
from tests.core.journeys import a_settled_cluster
from tests.core.measured import measured

from sluicegate.api.crdgen import RESOURCES
from sluicegate.cli.table import table

FILE = Path(__file__).with_name("rollouts.txt")
COLUMNS = [
    column
    for resource in RESOURCES
    if resource.kind == "LLMDeployment"
    for column in resource.columns
    if not column.wide and column.type != "date"
]
PASSES = 60

Row = tuple[str, ...]
Rollout = Callable[[], Iterator[Cluster]]


def a_version_that_takes_over() -> Iterator[Cluster]:
    cluster = a_settled_cluster(ADeployment().with_replicas(2))
    yield cluster
    cluster.trouble["v2"] = STARTING
    cluster.edit(modelVersion="v2")
    for _ in range(3):
        yield from _goes_on(cluster, passes=1)
    del cluster.trouble["v2"]
    yield from _goes_on(cluster)


def a_version_that_crashes_and_is_given_up() -> Iterator[Cluster]:
    cluster = a_settled_cluster(ADeployment().with_replicas(2))
    yield cluster
    cluster.edit(modelVersion="v2")
    for restarts in (0, 1, 2, 3):
        cluster.trouble["v2"] = ended("CUDA error", restarts=restarts)
        yield from _goes_on(cluster, passes=2)
    yield from _goes_on(cluster)


def another_try_that_takes_over() -> Iterator[Cluster]:
    *_, cluster = a_version_that_crashes_and_is_given_up()
    yield cluster
    cluster.trouble.clear()
    cluster.annotate(retry=cluster.status["history"][0]["id"])
    yield from _goes_on(cluster)


def a_version_that_a_person_promotes() -> Iterator[Cluster]:
    return _waits_for_the_word("promote")


def a_version_that_a_person_aborts() -> Iterator[Cluster]:
    return _waits_for_the_word("abort")


def _waits_for_the_word(word: str) -> Iterator[Cluster]:
    cluster = a_settled_cluster(ADeployment().with_replicas(2).with_spec(rollout={"promotion": "Manual"}))
    yield cluster
    cluster.edit(modelVersion="v2")
    yield from _goes_on(cluster)
    cluster.annotate(**{word: cluster.status["rollout"]["id"]})
    yield from _goes_on(cluster)


def a_version_that_is_observed() -> Iterator[Cluster]:
    cluster = a_settled_cluster(ADeployment().with_replicas(2).with_spec(rollout={"observeSeconds": 20}))
    yield cluster
    cluster.edit(modelVersion="v2")
    yield from _goes_on(cluster)


def a_version_that_is_worse_than_the_one_before() -> Iterator[Cluster]:
    cluster = a_settled_cluster(ADeployment().with_replicas(2).with_spec(rollout={"observeSeconds": 20}))
    yield cluster
    cluster.measured = {"v1": measured(), "v2": measured(800, error=200)}
    cluster.edit(modelVersion="v2")
    yield from _goes_on(cluster)


def a_version_that_crashes_while_it_is_observed() -> Iterator[Cluster]:
    cluster = a_settled_cluster(ADeployment().with_replicas(2).with_spec(rollout={"observeSeconds": 20}))
    yield cluster
    cluster.edit(modelVersion="v2")
    yield from _goes_on(cluster, passes=5)
    cluster.trouble["v2"] = ended("CUDA error")
    yield from _goes_on(cluster)


def a_version_that_its_job_does_not_let_pass() -> Iterator[Cluster]:
    cluster = a_settled_cluster(ADeployment().with_replicas(2))
    yield cluster
    cluster.trials["v2"] = RUNNING
    cluster.edit(modelVersion="v2", rollout={"verification": {"job": {"image": "tests:1"}}})
    yield from _goes_on(cluster)
    cluster.trials["v2"] = 1
    yield from _goes_on(cluster)


def a_change_that_is_paused() -> Iterator[Cluster]:
    cluster = a_settled_cluster(ADeployment().with_replicas(2))
    yield cluster
    cluster.edit(modelVersion="v2", paused=True)
    yield from _goes_on(cluster)
    cluster.edit(paused=False)
    yield from _goes_on(cluster)


def a_version_that_takes_the_place_of_the_one_before() -> Iterator[Cluster]:
    cluster = _swapping()
    yield cluster
    cluster.edit(modelVersion="v2")
    yield from _goes_on(cluster)


def a_version_that_fails_in_the_place_of_the_one_before() -> Iterator[Cluster]:
    cluster = _swapping()
    yield cluster
    cluster.trouble["v2"] = ended("CUDA error", restarts=3)
    cluster.edit(modelVersion="v2")
    yield from _goes_on(cluster)


def _swapping() -> Cluster:
    rollout = {"strategy": "Swap", "observeSeconds": 20}
    return a_settled_cluster(ADeployment().with_replicas(2).with_spec(rollout=rollout))


def a_version_that_comes_into_the_running_pods() -> Iterator[Cluster]:
    cluster = _in_place()
    yield cluster
    cluster.edit(modelVersion="v2")
    yield from _goes_on(cluster)


def a_version_that_the_first_pod_goes_back_from() -> Iterator[Cluster]:
    cluster = _in_place()
    yield cluster
    cluster.ends["v2"] = ("RolledBack", "ChecksumMismatch", "model.norm.weight differs")
    cluster.edit(modelVersion="v2")
    yield from _goes_on(cluster)


def a_version_that_is_worse_in_the_running_pods() -> Iterator[Cluster]:
    cluster = _in_place()
    yield cluster
    cluster.measured = {"v1": measured(), "v2": measured(800, error=200)}
    cluster.edit(modelVersion="v2")
    yield from _goes_on(cluster)


def a_version_that_cannot_come_into_the_running_pods() -> Iterator[Cluster]:
    cluster = _in_place()
    yield cluster
    cluster.ends["v2"] = ("Refused", "RestartRequired", "TokenizerDiffers: 2 of 258 tokens")
    cluster.edit(modelVersion="v2")
    yield from _goes_on(cluster)


def _in_place() -> Cluster:
    rollout = {"strategy": "HotReload", "observeSeconds": 20}
    return a_settled_cluster(ADeployment().with_replicas(3).with_spec(rollout=rollout))


def a_version_that_waits_for_room() -> Iterator[Cluster]:
    chat = ADeployment(spec={"modelVersion": "v1", "rollout": {"capacity": "Wait"}})
    cluster = a_settled_cluster(chat.with_replicas(2))
    yield cluster
    cluster.trouble["v2"] = unschedulable("0/2 nodes are available: 2 Insufficient nvidia.com/gpu.")
    cluster.edit(modelVersion="v2")
    yield from _goes_on(cluster)
    cluster.trouble.clear()
    yield from _goes_on(cluster)


ROLLOUTS: tuple[Rollout, ...] = (
    a_version_that_takes_over,
    a_version_that_crashes_and_is_given_up,
    another_try_that_takes_over,
    a_version_that_its_job_does_not_let_pass,
    a_version_that_is_observed,
    a_version_that_is_worse_than_the_one_before,
    a_version_that_crashes_while_it_is_observed,
    a_version_that_a_person_promotes,
    a_version_that_a_person_aborts,
    a_change_that_is_paused,
    a_version_that_takes_the_place_of_the_one_before,
    a_version_that_fails_in_the_place_of_the_one_before,
    a_version_that_waits_for_room,
    a_version_that_comes_into_the_running_pods,
    a_version_that_the_first_pod_goes_back_from,
    a_version_that_is_worse_in_the_running_pods,
    a_version_that_cannot_come_into_the_running_pods,
)


def recorded() -> str:
    """The text of the golden file."""
    return "\n".join(line for rollout in ROLLOUTS for line in _told(rollout))


def _told(rollout: Rollout) -> Iterator[str]:
    rows: list[Row] = []
    for cluster in rollout():
        row = tuple(_cell(cluster.deployment, column.path) for column in COLUMNS)
        if not rows or rows[-1] != row:
            rows.append(row)
    yield f"{rollout.__name__.replace('_', ' ')}:"
    yield from table([tuple(column.name.upper() for column in COLUMNS), *rows])
    yield ""


def _goes_on(cluster: Cluster, passes: int = PASSES) -> Iterator[Cluster]:
    """The cluster after each pass, until it is settled or has made as many as are wanted."""
    for _ in range(passes):
        plan = cluster.turn()
        yield cluster
        if not plan.actions and cluster.is_settled(cluster.plan()):
            return


def _cell(obj: Any, path: str) -> str:
    """What kubectl prints of a column; where it prints nothing, the table has a dash."""
    for key, type in re.findall(r"\.(\w+)|\[\?\(@\.type==\"(\w+)\"\)\]", path):
        found = next((each for each in obj if each["type"] == type), {}) if type else obj.get(key)
        obj = found or {}
    return str(obj or "")
