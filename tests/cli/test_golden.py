"""`golden record`: what it asks, what it writes, and what it refuses."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.builders import a_golden_prompt, a_model_version, digest, with_golden_prompts
from tests.cli.rollouts import NAME, Commands, Scene
from tests.shell.rig import NAMESPACE
from tests.shell.wire import Wire

from sluicegate.api.v1alpha1.modelversion import ModelVersion
from sluicegate.cli.command import Exit
from sluicegate.cli.edit import TRIES
from sluicegate.kube.resources import LLM_DEPLOYMENT, MODEL_VERSION, REPLICA_SET
from sluicegate.kube.transport import Query, Response

pytestmark = pytest.mark.looptime

ROLLOUT = "0a1b2c3d"
ENGINE = "vllm 0.32.0 on cpu --dtype=float32 --enforce-eager"
PROXY = f"/api/v1/namespaces/{NAMESPACE}/services/{NAME}:http/proxy"
FILE = """
- {name: capital, prompt: The capital of France is}
- name: greeting
  messages: [{role: user, content: Hi}]
"""


@dataclass
class Proxy(Wire):
    """Passes what goes to the Service on to an engine that answers with the tokens 7, 8 and so on."""

    version: str = "v1"
    nats: float | None = -0.1234
    asked: list[tuple[str, str, Mapping[str, Any] | None]] = field(default_factory=list)

    async def request(
        self, method: str, path: str, query: Query, body: Mapping[str, Any] | None, content_type: str
    ) -> Response:
        if not path.startswith(PROXY):
            return await super().request(method, path, query, body, content_type)
        self.asked.append((method, path.removeprefix(PROXY), body))
        answer = json.dumps(self._answer(path.removeprefix(PROXY), body or {}))
        return Response(200, answer.encode(), {"x-sluicegate-model-version": self.version})

    def _answer(self, path: str, body: Mapping[str, Any]) -> Any:
        if path == "/version":
            return {"version": "0.32.0"}
        if path == "/v1/models":
            return {"data": [{"id": "lab"}]}
        if path == "/tokenize":
            return {"tokens": [1, 2] if "messages" in body else [3]}
        if "prompt_logprobs" not in body:
            return {"choices": [{"token_ids": list(range(7, 7 + body["max_tokens"]))}]}
        told = [None, *({str(token): {"logprob": self.nats}} for token in body["prompt"][1:])]
        return {"choices": [{"prompt_logprobs": told}]}


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def proxy(scene: Scene) -> Proxy:
    return Proxy(scene.server)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, proxy: Proxy) -> Commands:
    made = Commands(monkeypatch, "golden")
    made.speak_to(proxy)
    return made


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "prompts.yaml"
    path.write_text(FILE)
    return str(path)


async def _serves(scene: Scene, *recorded: dict[str, Any], files: str = "v1") -> None:
    """Version v1 serves, of which these golden prompts are known."""
    await scene.has_a_deployment()
    status = {"serving": {"version": "v1", "digest": digest("v1"), "rollout": ROLLOUT}}
    await scene.patch({"status": status}, "status")
    command = ["sluicegate-engine", "run", "--", "--dtype=float32", "--max-num-seqs=4", "--enforce-eager"]
    labels = {"sluicegate.dev/rollout": ROLLOUT}
    engine = {"name": "engine", "image": "engine:1", "command": command}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [engine]}}
    pods = {
        "apiVersion": "apps/v1",
        "kind": REPLICA_SET.kind,
        "metadata": {"name": f"{NAME}-{ROLLOUT}", "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }
    await scene.truth.create(pods, "sluicegate")
    made = with_golden_prompts(a_model_version("v1"), *recorded)
    await scene.truth.create({**made, "metadata": {"name": "v1", "namespace": NAMESPACE}}, "kubectl")
    known = {"status": {"digest": digest(files)}}
    await scene.truth.patch_merge(MODEL_VERSION, NAMESPACE, "v1", known, "status", subresource="status")


async def _golden(scene: Scene) -> list[dict[str, Any]]:
    live = await scene.truth.get(MODEL_VERSION, NAMESPACE, "v1")
    ModelVersion.model_validate_json(json.dumps(live), strict=True)
    return list(live["spec"].get("goldenPrompts") or [])


async def test_answers_are_taken_greedily_and_scored_as_they_will_be(
    scene: Scene, proxy: Proxy, commands: Commands, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await _serves(scene)
    assert await commands.run("record", NAME, "--prompts", file, "--max-tokens=2") == (Exit.OK, "")
    assert await _golden(scene) == [
        {
            "name": name,
            "recordedWith": ENGINE,
            "prompt": prompt,
            "tokens": [7, 8],
            "logProbabilitiesMilliNats": [-123, -123],
        }
        for name, prompt in (("capital", [3]), ("greeting", [1, 2]))
    ]
    greedy = {"temperature": 0, "max_tokens": 2, "return_token_ids": True}
    scored = {"temperature": 0, "max_tokens": 1, "prompt_logprobs": 0}
    assert proxy.asked[2:5] == [
        ("POST", "/tokenize", {"model": "lab", "prompt": "The capital of France is"}),
        ("POST", "/v1/completions", {"model": "lab", "prompt": [3], **greedy}),
        ("POST", "/v1/completions", {"model": "lab", "prompt": [3, 7, 8], **scored}),
    ]
    told = f"recorded in ModelVersion v1, with {ENGINE}: capital (2 tokens), greeting (2 tokens)\n"
    assert capsys.readouterr().out == told


async def test_programs_read_what_was_recorded(
    scene: Scene, commands: Commands, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await _serves(scene)
    await commands.run("record", NAME, "--prompts", file, "-o", "json")
    told = json.loads(capsys.readouterr().out)
    assert told == {"modelVersion": "v1", "recordedWith": ENGINE, "goldenPrompts": await _golden(scene)}
    assert len(told["goldenPrompts"][0]["tokens"]) == 16


async def test_only_those_of_the_same_name_and_engine_are_replaced(
    scene: Scene, commands: Commands, file: str
) -> None:
    elsewhere = a_golden_prompt("capital", recordedWith="vllm 0.25.1 on cpu")
    moon = a_golden_prompt("moon", recordedWith=ENGINE)
    await _serves(scene, elsewhere, a_golden_prompt("capital", recordedWith=ENGINE), moon)
    await commands.run("record", NAME, "--prompts", file)
    known = await _golden(scene)
    assert known[:2] == [elsewhere, moon]
    assert [each["name"] for each in known[2:]] == ["capital", "greeting"]
    assert known[2]["prompt"] == [3]


async def test_recording_again_writes_nothing(
    scene: Scene, proxy: Proxy, commands: Commands, file: str
) -> None:
    await _serves(scene)
    await commands.run("record", NAME, "--prompts", file)
    written = len(proxy.writes)
    assert (await commands.run("record", NAME, "--prompts", file))[0] == Exit.OK
    assert len(proxy.writes) == written == 1


async def test_what_somebody_adds_meanwhile_stays(
    scene: Scene, proxy: Proxy, commands: Commands, file: str
) -> None:
    await _serves(scene)
    added = {"spec": {"goldenPrompts": [a_golden_prompt("moon")]}}

    def first_of_all(method: str, path: str) -> Response | None:
        if method == "PATCH" and proxy.count("PATCH", "v1") == 1:
            scene.server.hand("somebody").patch(MODEL_VERSION, NAMESPACE, "v1", added)
        return None

    proxy.refuse = first_of_all
    assert (await commands.run("record", NAME, "--prompts", file))[0] == Exit.OK
    assert [each["name"] for each in await _golden(scene)] == ["moon", "capital", "greeting"]


async def test_writers_that_are_faster_for_ever_end_it(
    scene: Scene, proxy: Proxy, commands: Commands, file: str
) -> None:
    await _serves(scene)
    moved = json.dumps({"kind": "Status", "code": 409, "reason": "Conflict", "message": "it has moved"})
    proxy.refuse = lambda method, path: Response(409, moved.encode()) if method == "PATCH" else None
    assert await commands.run("record", NAME, "--prompts", file) == (Exit.FAILED, "it has moved")
    assert proxy.count("PATCH", "v1") == TRIES


async def test_an_answer_of_another_version_is_not_recorded(
    scene: Scene, proxy: Proxy, commands: Commands, file: str
) -> None:
    await _serves(scene)
    proxy.version = "v2"
    code, told = await commands.run("record", NAME, "--prompts", file)
    assert code == Exit.FAILED
    assert "v2 answered instead of v1" in told
    assert await _golden(scene) == []


async def test_files_that_do_not_serve_are_not_written_to(
    scene: Scene, commands: Commands, file: str
) -> None:
    await _serves(scene, files="other")
    code, told = await commands.run("record", NAME, "--prompts", file)
    assert code == Exit.FAILED
    assert "ModelVersion v1 is of other files" in told


async def test_nobody_can_be_asked_where_nothing_serves(scene: Scene, commands: Commands, file: str) -> None:
    await scene.has_a_deployment()
    ended = await commands.run("record", NAME, "--prompts", file)
    assert ended == (Exit.FAILED, "nothing of chat serves: there is nobody to ask")


@pytest.mark.parametrize("nats", [math.nan, -math.inf, None])
async def test_what_is_no_number_is_not_recorded(
    nats: float | None, scene: Scene, proxy: Proxy, commands: Commands, file: str
) -> None:
    await _serves(scene)
    proxy.nats = nats
    code, told = await commands.run("record", NAME, "--prompts", file)
    assert code == Exit.FAILED
    assert "capital: v1 gives no finite log-probabilities" in told
    assert await _golden(scene) == []


async def test_a_name_that_the_api_would_refuse_is_said_before_anything_is_written(
    scene: Scene, commands: Commands, tmp_path: Path
) -> None:
    await _serves(scene)
    path = tmp_path / "prompts.yaml"
    path.write_text("[{name: The Capital, prompt: a}]")
    code, told = await commands.run("record", NAME, "--prompts", str(path))
    assert code == Exit.FAILED
    assert "The Capital cannot be a golden prompt" in told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "at least 1 item"),
        ("{}", "valid tuple"),
        ("[{name: a}]", "either prompt or messages"),
        ("[{name: a, prompt: b, messages: []}]", "either prompt or messages"),
        ("[{name: a, prompt: b, tokens: [1]}]", "Extra inputs"),
        ("[", "while parsing"),
    ],
)
async def test_a_file_that_says_something_else_is_refused(
    text: str, words: str, commands: Commands, tmp_path: Path
) -> None:
    path = tmp_path / "prompts.yaml"
    path.write_text(text)
    code, told = await commands.run("record", NAME, "--prompts", str(path))
    assert code == Exit.USAGE_OR_PERMISSION
    assert words in told


@pytest.mark.parametrize("number", ["0", "65", "many", "-1"])
async def test_an_answer_has_one_to_64_tokens(number: str, commands: Commands, file: str) -> None:
    with pytest.raises(SystemExit) as ended:
        await commands.run("record", NAME, "--prompts", file, f"--max-tokens={number}")
    assert ended.value.code == Exit.USAGE_OR_PERMISSION


async def test_a_deployment_that_is_not_there_is_named(commands: Commands, file: str) -> None:
    code, told = await commands.run("record", "other", "--prompts", file)
    assert code == Exit.FAILED
    assert f'no {LLM_DEPLOYMENT.kind} "other"' in told
