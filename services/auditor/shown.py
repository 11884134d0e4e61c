"""Holds what people are shown against what it is made of: cached carts, and resources. Pure: rows in, differences out."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from services.auditor.books import Book, CachedCart, Cart, Checkout, Resource, Started
from services.auditor.differences import Difference, Kind

ENDED_PHASES = frozenset({"Completed", "Failed"})


def compare_cached(cached: CachedCart, document: Cart, now: datetime) -> Iterator[Difference]:
    """Yield the difference between a cached cart and its document, which was read after it.

    A document's version only grows, so a cached one is never ahead of it. One that is behind may be left over from an outage
    of the cache; it matters for as long as readers trust it.
    """
    copy = cached.cart
    if copy.version > document.version:
        what = "the cached cart is newer than its document"
    elif not cached.is_trusted:
        return
    elif copy.version < document.version:
        what = "the cached cart is older than its document"
    elif _pieces(copy) != _pieces(document):
        what = "the cached cart is not its document"
    else:
        return
    detail = f"cache: version {copy.version}; document: version {document.version}"
    books = frozenset({Book.CACHE, Book.CARTS})
    yield Difference(Kind.CACHE, f"user {copy.user_id}", what, now, books, detail, {"user_id": str(copy.user_id)})


def _pieces(cart: Cart) -> set[tuple[str, int, int]]:
    return {(line.line_id, line.product_id, line.quantity) for line in cart.lines}


def compare_resources(
    resources: Iterable[Resource],
    started: Mapping[tuple[int, str], Started],
    checkouts: Mapping[str, Checkout],
    now: datetime,
) -> Iterator[Difference]:
    """Yield the differences between resources and their checkouts, which were read after them.

    `started` has the checkouts of resources by user and key, `checkouts` those that a status names or a mirror is made for. A
    mirror may show the end of a checkout late, since mirrors have a budget of writes. A resource that somebody applied must
    show it.
    """
    for resource in resources:
        own, shown = _own(resource, started, checkouts), resource.checkout_id
        since, has, detail = now, resource.phase, ""
        if shown and shown not in checkouts:
            what = "the resource shows a checkout that does not exist"
        elif shown and (own is None or shown != own.id):
            what = "the resource shows another checkout than its own"
            detail = f"resource: {shown}; its own: {own.id if own else 'nothing'}"
        elif own is None:
            continue
        elif resource.version > own.version:
            what = "the resource is ahead of its checkout"
            detail = f"resource: version {resource.version}; checkout: version {own.version}"
        else:
            detail = f"resource: {has or 'nothing'}; checkout: {own.status}"
            if has in ENDED_PHASES and has != own.status.capitalize():
                what = "the resource shows another end than its checkout"
            elif own.ended_at is not None and not resource.is_mirror and not (shown and has in ENDED_PHASES):
                what = "the resource does not show that its checkout has ended"
                # A resource that came later under the same key may be younger than the end.
                since = own.ended_at if resource.uid == started[resource.user_id, resource.key].uid else now
            else:
                continue
        ids = {"name": resource.name, "checkout_id": shown or (own.id if own else "")}
        books = frozenset({Book.CHECKOUTS, Book.RESOURCES})
        yield Difference(Kind.RESOURCES, resource.name, what, since, books, detail, ids)


def _own(
    resource: Resource, started: Mapping[tuple[int, str], Started], checkouts: Mapping[str, Checkout]
) -> Checkout | None:
    """Return the checkout that a resource must show; None where there is none, or none yet."""
    if resource.is_mirror:
        return checkouts.get(resource.mirror_of)
    found = started.get((resource.user_id, resource.key))
    if found is None:
        return None
    # A resource that asks for something else under the key of another one has failed, and names no checkout.
    is_refused = not resource.checkout_id and resource.phase == "Failed" and resource.uid != found.uid
    return None if is_refused else found.checkout
