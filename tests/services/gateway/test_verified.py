"""Which user a token is of: the claim that holds the user id."""

import pytest

from services.chassis.oidc.tokens import Unauthenticated
from services.gateway.verified import claim_problems, user_of

MOST = 2**63 - 1


@pytest.mark.parametrize(("value", "user"), [(1, 1), (MOST, MOST), ("1", 1), (str(MOST), MOST), ("0042", 42)])
def test_the_user_is_a_number_or_digits(value, user):
    """The claim holds a positive 64-bit integer, as a number or in digits."""
    assert user_of({"sub": value}, "sub") == user


@pytest.mark.parametrize(
    "value",
    [None, 0, -1, MOST + 1, 1.0, 1.5, True, False, "", "0", "-1", "+1", "1.0", "x", " 1", "1 ", "1_0", "٣", "1e3",
     str(MOST + 1), "9" * 5000, [], [1], {}, {"id": 1}, "auth0|5f7c8ec7c33c6c004bbafe82"],
)  # fmt: skip
def test_another_user_claim_is_said_to_be_wrong(value):
    """What is no user id is 401, and the answer says which claim must hold one."""
    with pytest.raises(Unauthenticated, match="claim sub must hold the user id, a positive 64-bit integer"):
        user_of({"sub": value}, "sub")


def test_the_claim_may_be_another():
    """The user is read from the claim that is set, and from no other."""
    claim = "https://shop.example.com/user"
    assert user_of({"sub": "1", claim: 5}, claim) == 5
    with pytest.raises(Unauthenticated, match=r"https://shop\.example\.com/user"):
        user_of({"sub": "1"}, claim)


@pytest.mark.parametrize("claim", ['a"b', "a b", "a\\b", "ä", "a\r\nSet-Cookie: x"])
def test_a_claims_name_fits_into_a_header(claim):
    """The claim's name is shown in WWW-Authenticate, so that it must not break it."""
    assert [problem.split(":")[0] for problem in claim_problems(claim)] == ["AUTH_USER_CLAIM"]
    assert list(claim_problems("https://shop.example.com/user")) == []
