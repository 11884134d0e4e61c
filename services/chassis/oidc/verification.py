"""Checks a token with the issuer's keys, which may be newer than those that are known."""

from services.chassis.oidc import tokens
from services.chassis.oidc.keys import Keys
from services.chassis.oidc.policy import Policy
from services.chassis.oidc.tokens import Unauthenticated, Verified


async def verify(token: str, policy: Policy, keys: Keys) -> Verified:
    """Return what a token says. Raises Unauthenticated that says why it does not count, or Unavailable if that cannot be known now."""
    header = tokens.unverified_header(token, policy)
    known = await keys.current()
    key = tokens.select_key(known, header)
    if key is None:  # the issuer may have a new one
        key = tokens.select_key(await keys.fetch_newer(known), header)
    if key is None:
        raise Unauthenticated("the token is signed with a key that its issuer does not have")
    return tokens.verify(token, key, header, policy)
