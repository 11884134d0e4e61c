"""Carts: one document per user in MongoDB, with a cache in Redis that never shows less than the last write."""
