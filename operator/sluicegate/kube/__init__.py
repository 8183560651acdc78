"""A thin asynchronous JSON client of the Kubernetes API, and the only taxonomy of its errors."""
