"""Cartwright's services: each folder is one, `chassis` is how any of them runs, `pb` is generated from protos/."""
