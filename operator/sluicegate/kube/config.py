"""Where the API server is and who we are there: from inside a pod, or from a kubeconfig."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import yaml
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config
from kubernetes.aio.config.kube_config import KubeConfigLoader, KubeConfigMerger

from sluicegate.kube.errors import ConfigurationError
from sluicegate.kube.transport import HttpTransport


async def transport_from(
    environment: Mapping[str, str], kubeconfig: str | None = None, context: str | None = None
) -> HttpTransport:
    """A transport to the cluster that the arguments or the environment name.

    In this order: `kubeconfig`, KUBECONFIG, the pod's service account, ~/.kube/config.
    """
    files = kubeconfig_path(environment, kubeconfig, context)

    where = files or "the pod's service account"

    async def load(configuration: Configuration) -> None:
        with explained(where):
            if files is None:
                # Installs a hook that reads the token file again every minute: projected tokens rotate.
                load_incluster_config(client_configuration=configuration)
            else:
                await loader(files, context).load_and_set(configuration)

    configuration = Configuration()
    await load(configuration)
    with explained(where):
        # It reads the certificates.
        return HttpTransport(configuration, renew=load)


def loader(files: str, context: str | None) -> KubeConfigLoader:
    """What reads the kubeconfig, with the context that is named or current chosen."""
    return KubeConfigLoader(KubeConfigMerger(files).config, active_context=context, config_base_path=None)


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Turns what goes wrong while a configuration is read into a ConfigurationError that says where.

    The library takes the shape of a kubeconfig for granted: one that has another fails anywhere in it.
    """
    try:
        yield
    except (ConfigException, OSError, yaml.YAMLError, *_OF_ANOTHER_SHAPE) as wrong:
        raise ConfigurationError(f"cannot read {where}: {wrong}; set KUBECONFIG, or run in a pod") from wrong


_OF_ANOTHER_SHAPE = (TypeError, ValueError, AttributeError, LookupError)


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
