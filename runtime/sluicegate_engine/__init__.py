"""Inside a model pod: the supervisor around vLLM."""
