"""One payment per checkout, driven to an outcome at the payment provider."""
