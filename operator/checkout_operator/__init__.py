"""The operator: starts a checkout for every Checkout resource, and shows every checkout as a resource."""
