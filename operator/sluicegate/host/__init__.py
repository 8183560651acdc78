"""The process around the operator: kopf, HTTP endpoints, metrics, logs."""
