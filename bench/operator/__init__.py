"""`make bench-operator`: what the operator costs, in time, in requests and in memory."""
