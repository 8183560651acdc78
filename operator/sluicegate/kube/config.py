"""Where the API server is and who we are there: from inside a pod, or from a kubeconfig."""

from __future__ import annotations

import os
from collections.abc import Mapping

from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from sluicegate.kube.errors import ConfigurationError
from sluicegate.kube.transport import HttpTransport


async def transport_from(
    environment: Mapping[str, str], kubeconfig: str | None = None, context: str | None = None
) -> HttpTransport:
    """A transport to the cluster that the arguments or the environment name.

    In this order: `kubeconfig`, KUBECONFIG, the pod's service account, ~/.kube/config.
    """
    files = kubeconfig_path(environment, kubeconfig, context)

    async def load(configuration: Configuration) -> None:
        if files is None:
            # Installs a hook that reads the token file again every minute: projected tokens rotate.
            load_incluster_config(client_configuration=configuration)
        else:
            await load_kube_config(files, context, client_configuration=configuration, persist_config=False)

    configuration = Configuration()
    try:
        await load(configuration)
    except ConfigException as wrong:
        where = files or "the pod's service account"
        raise ConfigurationError(f"cannot read {where}: {wrong}; set KUBECONFIG, or run in a pod") from wrong
    return HttpTransport(configuration, renew=load)


def kubeconfig_path(
    environment: Mapping[str, str], kubeconfig: str | None, context: str | None
) -> str | None:
    """The kubeconfig to read; None for the pod's service account."""
    named = kubeconfig or environment.get("KUBECONFIG")
    if named is None and context is None and "KUBERNETES_SERVICE_HOST" in environment:
        return None
    return named or os.path.expanduser("~/.kube/config")


def transport_to(url: str) -> HttpTransport:
    """A transport without TLS, credentials or proxy; for servers of tests."""
    return HttpTransport(Configuration(host=url, client_session_kwargs={"trust_env": False}))
