"""The simulated payment provider, with a ledger of its own."""
