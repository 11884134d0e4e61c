"""The auditor: holds the books of all stores against each other while the platform runs, and changes nothing."""
