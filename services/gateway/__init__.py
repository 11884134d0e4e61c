"""The REST front of the platform."""
