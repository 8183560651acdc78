"""Sluicegate: the control plane of LLM deployments on Kubernetes."""
