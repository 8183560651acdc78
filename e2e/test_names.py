"""Two deployments in one namespace and one of the same name in another serve side by side."""

from __future__ import annotations

import pytest

from e2e.lab.lab import Lab
from e2e.lab.objects import a_deployment, a_model_version
from e2e.lab.traffic import ask, fresh_connections

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_deployments_share_a_namespace_and_a_name_without_meeting(lab: Lab, quiet: Lab) -> None:
    # given a namesake of the quiet deployment, and a neighbour whose name begins like its own
    await lab.apply(
        a_model_version("tiny-a", "tiny-a"),
        a_model_version("tiny-b", "tiny-b"),
        a_deployment("vllm", "tiny-b"),
        a_deployment("vllm-two", "tiny-a"),
    )
    # when all three serve
    await quiet.settled("vllm")
    await lab.settled("vllm")
    await lab.settled("vllm-two")
    # then each answers with its own version
    async with fresh_connections() as session:
        answers = [
            await ask(session, await where.url(name), "tell me a story")
            for where, name in ((quiet, "vllm"), (lab, "vllm"), (lab, "vllm-two"))
        ]
    assert [answer.version for answer in answers] == ["tiny-a", "tiny-b", "tiny-a"]
    assert answers[0].text == answers[2].text != answers[1].text
