"""`make bench-rollout`: how fast versions take over, and how long rollouts wait for each other."""
