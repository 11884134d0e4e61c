"""The id of a user: the rule that every service has for the requests of another."""

from services.errors import Invalid


def checked_user(user_id: int) -> int:
    """Return the id unchanged; Invalid where it is not positive."""
    if user_id < 1:
        raise Invalid("user_id must be a positive integer")
    return user_id
