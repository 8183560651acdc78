"""End-to-end tests and the real parts they run on: a one-node cluster, the images, small models."""
