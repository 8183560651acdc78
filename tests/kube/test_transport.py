"""The HTTP transport and the configuration, against a server of our own on the loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from sluicegate.kube import errors, resources
from sluicegate.kube.client import Client
from sluicegate.kube.config import transport_from
from sluicegate.kube.transport import encoded


class Api:
    """Answers a few paths as an API server would; only `token` opens the door, if it is set."""

    def __init__(self) -> None:
        self.token = ""
        self.seen: list[web.BaseRequest] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        if self.token and request.headers.get("authorization", "").lower() != f"bearer {self.token}":
            return web.json_response({"kind": "Status", "code": 401, "reason": "Unauthorized"}, status=401)
        if request.query.get("watch"):
            stream = web.StreamResponse()
            await stream.prepare(request)
            await stream.write(b'{"type":"ADDED","object":{}}\n')
            return stream
        if request.path.endswith("/torn"):
            assert request.transport is not None
            request.transport.close()
        if request.method == "PATCH":
            return web.json_response({"type": request.content_type, "body": await request.json()})
        return web.json_response({"metadata": {"name": request.path.rpartition("/")[2]}})


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
async def server(api: Api) -> AsyncIterator[TestServer]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.answer)
    async with TestServer(app) as running:
        yield running


def kubeconfig(folder: Path, server: TestServer, token: str, context: str = "main") -> str:
    path = folder / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": str(server.make_url("/"))}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": context, "context": {"cluster": "c", "user": "u"}}],
        "current-context": context,
    }
    path.write_text(yaml.safe_dump(config))
    return str(path)


async def test_requests_and_watches_go_over_http(server: TestServer) -> None:
    async with Client.for_server(str(server.make_url("/"))) as client:
        pod = await client.get(resources.POD, "ns", "p")
        events = [event async for event in client.watch(resources.POD, "ns", resource_version="1")]

    assert pod["metadata"]["name"] == "p"
    assert [event.type for event in events] == ["ADDED"]


async def test_an_apply_travels_as_json_in_its_own_content_type(server: TestServer) -> None:
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "ns"}}

    async with Client.for_server(str(server.make_url("/"))) as client:
        answer = await client.apply(manifest, "me")

    assert answer == {"type": "application/apply-patch+yaml", "body": manifest}


async def test_a_body_is_encoded_as_the_server_encodes() -> None:
    assert (
        encoded({"b": "<&>\u2028", "a": ["é", 1]})
        == '{"a":["é",1],"b":"\\u003c\\u0026\\u003e\\u2028"}'.encode()
    )


async def test_a_connection_that_breaks_is_unavailable(server: TestServer) -> None:
    async with Client.for_server(str(server.make_url("/"))) as client:
        with pytest.raises(errors.Unavailable):
            await client.get(resources.POD, "ns", "torn")


async def test_a_server_that_is_not_there_is_unavailable(server: TestServer) -> None:
    url = str(server.make_url("/"))
    await server.close()

    async with Client.for_server(url) as client:
        with pytest.raises(errors.Unavailable):
            await client.get(resources.POD, "ns", "p")
        with pytest.raises(errors.Unavailable):
            await anext(client.watch(resources.POD, "ns", resource_version="1"))


async def test_the_environment_s_proxy_is_used_but_for_the_servers_that_it_excepts(
    api: Api, server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", str(server.make_url("/")))
    monkeypatch.setenv("no_proxy", "near.invalid")

    async with Client.for_server("http://far.invalid") as client:
        await client.get(resources.POD, "ns", "p")
    async with Client.for_server("http://near.invalid") as client:
        with pytest.raises(errors.Unavailable):
            await client.get(resources.POD, "ns", "p")

    assert [request.headers["host"] for request in api.seen] == ["far.invalid"]


async def test_a_rotated_token_is_read_again_when_the_old_one_is_refused(
    tmp_path: Path, api: Api, server: TestServer
) -> None:
    api.token = "new"
    path = kubeconfig(tmp_path, server, "old")

    async with await Client.from_environment(path) as client:
        kubeconfig(tmp_path, server, "new")
        await client.get(resources.POD, "ns", "p")
        await client.get(resources.POD, "ns", "p")

    assert [request.headers["authorization"] for request in api.seen] == [
        "Bearer old",
        "Bearer new",
        "Bearer new",
    ]


async def test_a_token_refused_twice_is_forbidden(tmp_path: Path, api: Api, server: TestServer) -> None:
    api.token = "another"

    async with await Client.from_environment(kubeconfig(tmp_path, server, "wrong")) as client:
        with pytest.raises(errors.Forbidden):
            await client.get(resources.POD, "ns", "p")


async def test_the_environment_names_the_kubeconfig(tmp_path: Path, api: Api, server: TestServer) -> None:
    api.token = "t"
    environment = {"KUBECONFIG": kubeconfig(tmp_path, server, "t", context="other")}

    async with Client(await transport_from(environment, context="other")) as client:
        assert (await client.get(resources.POD, "ns", "p"))["metadata"]["name"] == "p"


@pytest.mark.parametrize(
    "environment", [{"KUBECONFIG": "/nowhere/config"}, {"KUBERNETES_SERVICE_HOST": "127.0.0.1"}]
)
async def test_an_unusable_environment_says_what_to_set(environment: dict[str, str]) -> None:
    with pytest.raises(errors.ConfigurationError, match="set KUBECONFIG"):
        await transport_from(environment)
