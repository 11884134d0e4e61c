"""The orders service: it creates orders from the events of completed checkouts, and lists them."""
