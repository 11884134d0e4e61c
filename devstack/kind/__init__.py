"""The platform on a kind cluster of its own: behind `make kind-up` and `make kind-down`."""
