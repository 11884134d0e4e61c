"""What a user's or a product's id looks like in text: a positive 64-bit integer, in ASCII digits."""

MOST = 2**63 - 1
_DIGITS = len(str(MOST))


def positive(text: str) -> int | None:
    """Give the id that `text` stands for; None where it is none. Text of any length is looked at in constant time."""
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        return None
    return int(text) if 1 <= int(text) <= MOST else None
