"""What may be asked of a Checkout, as a real API server reads it: every rule, shown refusing and accepting."""

import sys
import unicodedata

import pytest

from services.idempotency import BadKey, checked_key
from tests import keys

pytestmark = pytest.mark.real

ID = "550e8400-e29b-41d4-a716-446655440000"


def line(product=1, quantity=1):
    """A line of what to buy."""
    return {"productId": product, "quantity": quantity}


ACCEPTED = {
    "the smallest": {},
    "the largest user id": {"userId": 2**63 - 1},
    "the largest product id": {"items": [line(product=2**63 - 1)]},
    "one line": {"items": [line()]},
    "a hundred lines": {"items": [line(product) for product in range(1, 101)]},
    "ninety-nine of one": {"items": [line(quantity=99)]},
    "a key": {"idempotencyKey": "k"},
    "a long key": {"idempotencyKey": "ü" * 255},
    "a key with a space": {"idempotencyKey": "my order"},
    "the shortest timeout": {"timeoutSeconds": 5},
    "the longest timeout": {"timeoutSeconds": 3600},
    "deleted at once": {"ttlSecondsAfterFinished": 0},
    "kept for a week": {"ttlSecondsAfterFinished": 604800},
    "cancelled from the start": {"cancelRequested": True},
    "said outright": {"managedBy": "operator"},
}
REFUSED = {
    "no user": ({"userId": None}, "spec.userId"),
    "user 0": ({"userId": 0}, "greater than or equal to 1"),
    "a user beyond 64 bits": ({"userId": 2**63}, "spec.userId"),
    "a user far beyond 64 bits": ({"userId": 10**19}, "spec.userId"),
    "a user as a fraction": ({"userId": 1e19}, "spec.userId"),
    "a product beyond 64 bits": ({"items": [line(product=2**63)]}, "productId"),
    "a user as text": ({"userId": "1"}, "must be of type integer"),
    "no lines": ({"items": []}, "at least 1 items"),
    "too many lines": ({"items": [line(product) for product in range(1, 102)]}, "at most 100 items"),
    "a product twice": ({"items": [line(), line(quantity=2)]}, "Duplicate value"),
    "product 0": ({"items": [line(product=0)]}, "productId"),
    "none of it": ({"items": [line(quantity=0)]}, "greater than or equal to 1"),
    "a hundred of one": ({"items": [line(quantity=100)]}, "less than or equal to 99"),
    "a line without quantity": ({"items": [{"productId": 1}]}, "quantity: Required value"),
    "a line with something unknown": ({"items": [line() | {"price": 1}]}, 'unknown field "spec.items[0].price"'),
    "an empty key": ({"idempotencyKey": ""}, "at least 1 chars"),
    "a key too long": ({"idempotencyKey": "k" * 256}, "Too long"),
    "a blank key": ({"idempotencyKey": "  "}, "choose another key"),
    "a key with a tab": ({"idempotencyKey": "a\tb"}, "choose another key"),
    "too short a timeout": ({"timeoutSeconds": 4}, "greater than or equal to 5"),
    "too long a timeout": ({"timeoutSeconds": 3601}, "less than or equal to 3600"),
    "a negative time to live": ({"ttlSecondsAfterFinished": -1}, "greater than or equal to 0"),
    "more than a week": ({"ttlSecondsAfterFinished": 604801}, "less than or equal to 604800"),
    "managed by somebody": ({"managedBy": "somebody"}, 'supported values: "operator", "mirror"'),
    "an unknown field": ({"itemz": []}, 'unknown field "spec.itemz"'),
    "a mirror of nothing": ({"managedBy": "mirror"}, "set checkoutId to its id"),
    "a checkout's id that is none": ({"managedBy": "mirror", "checkoutId": "7"}, "a UUID in lower case"),
    "an id in capitals": ({"managedBy": "mirror", "checkoutId": ID.upper()}, "a UUID in lower case"),
    "an id without a mirror": ({"checkoutId": ID}, "leave it out"),
    "a mirror of another name": ({"managedBy": "mirror", "checkoutId": ID}, f"set metadata.name to co-{ID}"),
}


@pytest.mark.parametrize("spec", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_what_may_be_asked(api, spec) -> None:
    """A spec within the bounds is accepted."""
    answer = api.try_out({"userId": 1} | spec)
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(("spec", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_may_not_be_asked(api, spec, words) -> None:
    """A spec beyond the bounds is refused, with words that say what to do."""
    asked = {field: value for field, value in ({"userId": 1} | spec).items() if value is not None}
    answer = api.try_out(asked)
    assert answer.status_code in {400, 422}, answer.text
    assert words in answer.json()["message"]


@pytest.mark.parametrize("number", [2**31, 2**53, 2**53 + 1, 2**63 - 1])
def test_large_ids_are_kept_to_the_digit(api, number) -> None:
    """User and product ids are stored, selected and shown as they were written, up to 64 bits; so are their changes."""
    name = api.kept(userId=number, items=[line(product=number)])
    assert api.patch(name, {"spec": {"ttlSecondsAfterFinished": 9}}).ok
    spec = api.get(name)["spec"]
    assert (spec["userId"], spec["items"][0]["productId"]) == (number, number)
    found = api.kubectl("get", "co", "-o", "wide", "--field-selector", f"spec.userId={number}", "--no-headers").split()
    assert name in found
    assert str(number) in found
    assert api.patch(name, {"spec": {"userId": number - 1}}).status_code == 422


def test_a_mirror_has_its_checkouts_name(api) -> None:
    """A mirror that is named after its checkout is accepted."""
    assert api.try_out({"userId": 1, "managedBy": "mirror", "checkoutId": ID}, name=f"co-{ID}").status_code == 201


@pytest.mark.parametrize("key", keys.ACCEPTED.values(), ids=keys.ACCEPTED.keys())
def test_a_key_that_every_interface_accepts(api, key) -> None:
    """The API server accepts what REST and gRPC accept, and stores it unchanged."""
    answer = api.try_out({"userId": 1, "idempotencyKey": key})
    assert answer.status_code == 201, answer.text
    assert answer.json()["spec"]["idempotencyKey"] == key


@pytest.mark.parametrize("key", keys.REFUSED.values(), ids=keys.REFUSED.keys())
def test_a_key_that_every_interface_refuses(api, key) -> None:
    """The API server refuses what REST and gRPC refuse."""
    answer = api.try_out({"userId": 1, "idempotencyKey": key})
    assert answer.status_code == 422, answer.text
    assert "idempotencyKey" in answer.json()["message"]


@pytest.mark.parametrize("key", keys.SURROGATES.values(), ids=keys.SURROGATES.keys())
def test_no_surrogate_is_stored(api, key) -> None:
    """A surrogate is never a part of a key: the API server replaces it before the rule is asked."""
    answer = api.try_out({"userId": 1, "idempotencyKey": key})
    assert answer.status_code != 201 or "\ufffd" in answer.json()["spec"]["idempotencyKey"]


def test_a_character_of_every_category(api) -> None:
    """Of every category of Unicode a character may stand in a key here exactly where REST and gRPC accept it."""
    kinds = {}
    for number in range(sys.maxunicode + 1):
        kinds.setdefault(unicodedata.category(chr(number)), []).append(chr(number))
    del kinds["Cs"], kinds["Cn"]  # no text holds the first; which are the second depends on the Unicode version
    for character in {letter for of_kind in kinds.values() for letter in (of_kind[0], of_kind[len(of_kind) // 4])}:
        key = f"a{character}"
        assert (api.try_out({"userId": 1, "idempotencyKey": key}).status_code == 201) == accepted(key), ascii(key)


def accepted(key) -> bool:
    """Whether the services accept a key."""
    try:
        return checked_key(key) == key
    except BadKey:
        return False


def test_what_is_left_out_is_filled_in(api) -> None:
    """Every default of the specification is set, and nothing is made up for the rest."""
    assert api.try_out({"userId": 1}).json()["spec"] == {
        "userId": 1,
        "timeoutSeconds": 300,
        "ttlSecondsAfterFinished": 300,
        "cancelRequested": False,
        "managedBy": "operator",
    }


def test_unknown_fields_are_dropped_where_nobody_asks(api) -> None:
    """A client that asks for no validation has its unknown fields dropped, not stored."""
    answer = api.try_out({"userId": 1, "bogus": {"a": 1}}, strict=False)
    assert "bogus" not in answer.json()["spec"]


WHOLE = {"items": [line(1), line(2)], "idempotencyKey": "k"}
CHANGES = {
    "user": {"userId": 2},
    "a quantity": {"items": [line(1), line(2, 2)]},
    "one line more": {"items": [line(1), line(2), line(3)]},
    "one line less": {"items": [line(1)]},
    "items gone": {"items": None},
    "key": {"idempotencyKey": "other"},
    "key gone": {"idempotencyKey": None},
    "timeout": {"timeoutSeconds": 10},
    "timeout back to the default": {"timeoutSeconds": None},
    "managedBy": {"managedBy": "mirror", "checkoutId": ID},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_spec_stays_as_it_is(api, change) -> None:
    """No field that says what to buy can change once it is applied."""
    answer = api.patch(api.kept(**WHOLE, timeoutSeconds=60), {"spec": change})
    assert answer.status_code == 422, answer.text
    assert "delete this Checkout and apply a new one" in answer.json()["message"]


@pytest.mark.parametrize("change", [{"items": [line()]}, {"idempotencyKey": "k"}])
def test_nothing_is_added_to_a_spec(api, change) -> None:
    """What was left out cannot be added later."""
    answer = api.patch(api.kept(), {"spec": change})
    assert answer.status_code == 422
    assert "delete this Checkout and apply a new one" in answer.json()["message"]


def test_a_mirrors_checkout_stays(api) -> None:
    """A mirror cannot come to show another checkout."""
    assert api.create({"userId": 1, "managedBy": "mirror", "checkoutId": ID}, f"co-{ID}").ok
    other = ID.replace("5", "6")
    assert api.patch(f"co-{ID}", {"spec": {"checkoutId": other}}).status_code == 422
    assert api.patch(f"co-{ID}", {"spec": {"checkoutId": None, "managedBy": "operator"}}).status_code == 422


def test_applying_the_same_again_is_no_change(api) -> None:
    """The same spec, its lines in another order included, is accepted again."""
    name = api.kept(**WHOLE)
    assert api.patch(name, {"spec": WHOLE | {"items": [line(1), line(2)]}}).ok
    assert api.patch(name, {"metadata": {"labels": {"a": "b"}}}).ok


def test_the_time_to_live_may_change(api) -> None:
    """How long a finished one is kept may be changed at any time."""
    name = api.kept()
    assert [api.patch(name, {"spec": {"ttlSecondsAfterFinished": ttl}}).status_code for ttl in (0, 99)] == [200, 200]


def test_a_cancellation_is_not_taken_back(api) -> None:
    """A cancellation may be asked for at any time, and not be taken back."""
    name = api.kept()
    assert api.patch(name, {"spec": {"cancelRequested": False}}).ok
    assert api.patch(name, {"spec": {"cancelRequested": True}}).ok
    for value in (False, None):
        answer = api.patch(name, {"spec": {"cancelRequested": value}})
        assert answer.status_code == 422
        assert "apply a new Checkout" in answer.json()["message"]
