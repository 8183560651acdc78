"""What the end-to-end tests are written with: a lab on the real cluster, clients, watchers, the audit log."""
