"""Money is an integer of minor units (cents); a decimal point appears only where JSON is written."""

MINOR_PER_MAJOR = 100  # ISO 4217: USD has the exponent 2


def to_json(minor: int) -> int | float:
    """Give an amount in minor units as the JSON number of major units, with at most two decimals.

    The division is correctly rounded and a double keeps 15 significant digits (IEEE 754), so below 10^15 minor units the
    shortest text of the result is the amount.
    """
    major, rest = divmod(minor, MINOR_PER_MAJOR)
    return minor / MINOR_PER_MAJOR if rest else major
