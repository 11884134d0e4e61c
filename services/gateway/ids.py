"""Ids of users and products in text: positive 64-bit integers, in ASCII digits."""

MAX_ID = 2**63 - 1
_DIGITS = len(str(MAX_ID))


def positive(text: str) -> int | None:
    """Return the id that `text` stands for, or None if it is no id. Takes constant time for text of any length."""
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        return None
    return int(text) if 1 <= int(text) <= MAX_ID else None
