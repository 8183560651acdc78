"""Following a deployment outlasts broken watches, an expired history and an API server that is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial

import pytest
from tests.cli.rollouts import NAME, Commands, Scene
from tests.kube.scripted import refusal
from tests.shell.kit import now, running
from tests.shell.rig import NAMESPACE

from sluicegate.cli.cluster import Cluster
from sluicegate.cli.command import Exit
from sluicegate.cli.follow import PAUSE_SECONDS, REFUSALS, ROUND_SECONDS, follow
from sluicegate.kube.client import Client
from sluicegate.kube.errors import ConfigurationError, Forbidden
from sluicegate.kube.transport import Response

pytestmark = pytest.mark.looptime


class Follower:
    """What was seen, by the version that the spec asked for, and when; None is the end of the object."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.seen: list[str | None] = []
        self.said: list[str] = []
        self.at = 0.0

    async def run(self) -> None:
        cluster = Cluster(Client(self._scene.wire), NAMESPACE, "https://cluster")
        async with aclosing(follow(cluster, NAME, self.said.append)) as sightings:
            async for found in sightings:
                version = found["spec"]["modelVersion"] if found else None
                if not self.seen or self.seen[-1] != version:
                    self.seen.append(version)
                    self.at = now()


@asynccontextmanager
async def _following(scene: Scene) -> AsyncIterator[Follower]:
    follower = Follower(scene)
    await scene.has_a_deployment("v1")
    async with running(follower.run()):
        await asyncio.sleep(1)
        yield follower


async def _becomes(follower: Follower, scene: Scene, version: str, within: float) -> None:
    changed = now()
    await scene.edit(modelVersion=version)
    await asyncio.sleep(within)
    assert follower.seen[-1] == version
    assert follower.at - changed <= within


async def test_a_change_is_seen_at_once() -> None:
    scene = Scene()
    async with _following(scene) as follower:
        await _becomes(follower, scene, "v2", within=0.1)
        await asyncio.sleep(1000)
        await _becomes(follower, scene, "v3", within=PAUSE_SECONDS + 0.1)
        await scene.delete()
        await asyncio.sleep(PAUSE_SECONDS + 0.1)

    assert follower.seen == ["v1", "v2", "v3", None]
    assert follower.said == []


async def test_another_deployment_is_not_taken_for_it() -> None:
    scene = Scene()
    async with _following(scene) as follower:
        await scene.has_a_deployment("other", name="bystander")
        await asyncio.sleep(20)

    assert follower.seen == ["v1"]


async def test_a_watch_that_breaks_costs_a_moment_and_no_word() -> None:
    scene = Scene()
    async with _following(scene) as follower:
        for version in ("v2", "v3"):
            scene.server.store.interrupt(ConnectionResetError("broken"))
            await _becomes(follower, scene, version, within=PAUSE_SECONDS + 0.1)
            await asyncio.sleep(5)

    assert follower.said == []


async def test_a_history_that_is_forgotten_is_listed_anew() -> None:
    scene = Scene()
    async with _following(scene) as follower:
        scene.away(3)
        await scene.edit(modelVersion="v2")
        scene.server.store.compact()
        await asyncio.sleep(5)
        assert follower.seen == ["v1", "v2"]
        scene.wire.refuse = lambda method, path: refusal(410, "Expired") if method == "WATCH" else None
        await asyncio.sleep(ROUND_SECONDS)
        await _becomes(follower, scene, "v3", within=PAUSE_SECONDS + 0.1)


async def test_a_stream_that_a_proxy_holds_back_costs_a_round() -> None:
    scene = Scene()
    scene.wire.lose = lambda piece: True
    async with _following(scene) as follower:
        await _becomes(follower, scene, "v2", within=ROUND_SECONDS + PAUSE_SECONDS)


async def test_a_connection_that_falls_silent_is_given_up() -> None:
    scene = Scene()
    scene.wire.delay = lambda path: 1e9
    async with _following(scene) as follower:
        await _becomes(follower, scene, "v2", within=2 * ROUND_SECONDS + PAUSE_SECONDS)


async def test_where_a_watch_is_not_allowed_it_is_asked_for_again_and_again() -> None:
    scene = Scene()
    scene.wire.refuse = lambda method, path: refusal(403, "Forbidden") if method == "WATCH" else None
    async with _following(scene) as follower:
        await asyncio.sleep(10 * REFUSALS)
        await _becomes(follower, scene, "v2", within=PAUSE_SECONDS + 0.1)
        before = scene.wire.count("GET", "llmdeployments")
        await asyncio.sleep(100)

    assert scene.wire.count("GET", "llmdeployments") - before == pytest.approx(100 / PAUSE_SECONDS, rel=0.1)
    assert follower.said == []


async def test_an_api_server_that_is_away_for_minutes_is_waited_for_and_told_of_once() -> None:
    scene = Scene()
    async with _following(scene) as follower:
        scene.away(180)
        await scene.edit(modelVersion="v2")
        await asyncio.sleep(180 + PAUSE_SECONDS)
        assert follower.seen == ["v1", "v2"]
        assert len(follower.said) == 1
        assert "nobody listens" in follower.said[0]
        scene.away(10)
        await asyncio.sleep(20)

    assert len(follower.said) == 2, "each time that it goes is told"


async def test_an_api_server_that_asks_for_time_is_given_it() -> None:
    scene = Scene()
    async with _following(scene) as follower:
        scene.wire.refuse = lambda method, path: refusal(429, "TooManyRequests", {"Retry-After": "25"})
        await asyncio.sleep(30)
        before = len(scene.wire.sent)
        await asyncio.sleep(100)

        assert len(scene.wire.sent) - before == 4
        scene.wire.refuse = lambda method, path: None
        await scene.edit(modelVersion="v2")
        await asyncio.sleep(26)
        assert follower.seen[-1] == "v2"


async def test_a_refusal_that_passes_is_outlasted() -> None:
    """As of an API server that has just started, and does not know the roles yet."""
    scene = Scene()
    async with _following(scene) as follower:
        scene.wire.refuse = lambda method, path: refusal(403, "Forbidden")
        await asyncio.sleep(ROUND_SECONDS + 10)
        scene.wire.refuse = lambda method, path: None
        await _becomes(follower, scene, "v2", within=2 * PAUSE_SECONDS)


def _credentials_fail(method: str, path: str) -> Response:
    raise ConfigurationError("cannot read the kubeconfig")


REFUSED = {
    "rights that are gone": (lambda method, path: refusal(403, "Forbidden"), Forbidden),
    "credentials that are not renewed": (_credentials_fail, ConfigurationError),
}


@pytest.mark.parametrize(("refuse", "error"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_refusal_that_lasts_ends_it(
    refuse: Callable[[str, str], Response], error: type[Exception]
) -> None:
    scene = Scene()
    follower = Follower(scene)
    await scene.has_a_deployment()
    asyncio.get_running_loop().call_later(5, setattr, scene.wire, "refuse", refuse)

    with pytest.raises(error):
        await asyncio.wait_for(follower.run(), 10 * REFUSALS)

    assert now() >= REFUSALS * PAUSE_SECONDS


async def test_a_wait_outlasts_all_of_it_until_its_time_is_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # given
    scene, commands = Scene(), Commands(monkeypatch)
    commands.speak_to(scene.wire)
    await scene.has_a_deployment("v1")
    loop = asyncio.get_running_loop()
    loop.call_later(20, partial(scene.away, 60))
    loop.call_later(200, partial(scene.away, 1e9))
    # when
    ended = await commands.run("wait", NAME, "--timeout=300s")
    # then
    assert ended == (
        Exit.TIMEOUT,
        "v1 is not promoted after 300 s: Unseen, the operator has not seen the present spec",
    )
    assert now() == pytest.approx(300, abs=1)
    assert capsys.readouterr().err.count("it is not known how the rollout goes on") == 2
