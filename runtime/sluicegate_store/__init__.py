"""Model files: content-addressed store, sources, ingest, and the sidecar that fills a pod."""
