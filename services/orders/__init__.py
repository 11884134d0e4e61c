"""Orders, made from the events of completed checkouts."""
