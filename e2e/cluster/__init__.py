"""A real one-node Kubernetes for the end-to-end tests, built and started from its parts.

It lives in namespaces of its own, so that checkouts don't disturb each other and ending one process ends
all of it. `python -m e2e.cluster` is the command line; `Cluster` and `api_server` are for tests. Standard
library only: this runs before any virtual environment exists.
"""

from e2e.cluster.apiserver import ApiServer, api_server, garbage_collector
from e2e.cluster.cluster import Cluster, ClusterError
from e2e.cluster.layout import Layout

__all__ = ["ApiServer", "Cluster", "ClusterError", "Layout", "api_server", "garbage_collector"]
