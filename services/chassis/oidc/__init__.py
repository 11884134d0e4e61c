"""Tokens of an OpenID Connect issuer: which count, by which keys. It knows no service; what a claim means is its caller's."""
