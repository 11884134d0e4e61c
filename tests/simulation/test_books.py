"""What a cart may hold, by what its user did: neither an acknowledged piece too few nor one too many."""

import math

import pytest

from tests.simulation.books import Books, Bought, Removal, wrong

LATER = Removal(1, until=5.0, claimed={"before"})


def books(*added, maybe=0, removals=()):
    """Give the books of a user who put in (quantity, when) of product 1, and one of product 2."""
    one = Books([(1, *each) for each in added] + [(2, 1, 0.0)], removals=list(removals))
    one.maybe_added[1] = maybe
    return [one]


@pytest.mark.parametrize(
    ("of", "there", "bought"),
    [
        (books((2, 0.0)), 2, []),
        (books((2, 0.0)), 0, [Bought("any", 1, 2)]),
        (books((2, 0.0), maybe=1), 3, []),
        (books((2, 0.0), removals=[LATER]), 0, []),
        (books((2, 0.0), (3, 6.0), removals=[LATER]), 3, []),
        (books((2, 0.0), (3, 6.0), removals=[LATER]), 0, [Bought("before", 1, 2), Bought("after", 1, 3)]),
        (books((2, 0.0), (3, 6.0), removals=[LATER, Removal(1)]), 0, []),
        (books((2, 0.0), (3, 6.0), removals=[Removal(1, until=5.0)]), 1, [Bought("before", 1, 2)]),
        (books((2, 9.0)) + books((1, 0.0), removals=[LATER]), 2, []),
    ],
)
def test_what_the_user_did_explains_the_cart(of, there, bought):
    """What was put in is there or was bought, unless it may have been taken out; what may have been put in may be there."""
    assert wrong(of, 1, there, bought) == ""


@pytest.mark.parametrize(
    ("of", "there", "bought", "says"),
    [
        (books((2, 0.0)), 1, [], "of 2 at least"),
        (books((2, 0.0)), 1, [Bought("any", 2, 1)], "of 2 at least"),
        (books((2, 0.0)), 1, [Bought("any", 1, 2)], "of 2 at most"),
        (books((2, 0.0), removals=[LATER]), 3, [], "of 2 at most"),
        (books((2, 0.0), (3, 6.0), removals=[LATER]), 2, [], "of 3 at least"),
        (books((2, 0.0), (3, 6.0), removals=[LATER]), 0, [Bought("before", 1, 3)], "of 3 at least"),
        (books((2, 0.0), removals=[Removal(2, until=math.inf)]), 0, [], "of 2 at least"),
    ],
)
def test_what_the_user_did_does_not_explain_the_cart(of, there, bought, says):
    """A removal excuses the loss neither of what was put in after it nor of another product, and never a piece too many."""
    assert says in wrong(of, 1, there, bought)
