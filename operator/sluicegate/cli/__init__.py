"""The command line: sluicegate, installed as kubectl-sluice too."""
