"""The saga that makes one purchase out of one intention."""
