"""`make bench-reload`: what a change of the model inside a running engine costs, on an H100."""
