"""The contract: what users write and read. Imports nothing of ours, so that anything may import it."""
