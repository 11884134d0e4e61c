"""The catalogue on both stores: what is sold, at what price, and what is not."""

from decimal import Decimal
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from services.money import to_json
from services.pb import product_pb2 as pb
from services.product.api import ProductApi
from services.product.domain import UnknownProduct
from tests.plain import assert_plain, edge_ids

NOT_FOUND = 5  # gRPC status code
MOST = 1_000_000_000  # minor units, the highest price


async def test_the_five_products_are_there_by_id(catalogue, sold):
    """A new shop sells the five products that it is known for, listed by id, each with all that is shown of it."""
    listed = await catalogue.list_products()
    assert [(one.id, (one.name, one.price_minor)) for one in listed] == list(sold.items())
    for one in listed:
        assert one.currency == "USD"
        assert one.description
        assert one.image_url
        assert one.created_at.tzinfo


async def test_products_come_in_the_order_asked_for(catalogue):
    """Each id has its own answer in its own place, also one that is asked for twice."""
    found = await catalogue.get_products([5, 1, 3, 1])
    assert [one.id for one in found] == [5, 1, 3, 1]
    assert await catalogue.get_products([]) == []


async def test_an_unknown_product_is_unknown_alone(catalogue):
    """An id that is not sold is not found, and its neighbours are."""
    found = await catalogue.get_products([2, 404, 2**63 - 1, 4])
    assert [one.id for one in (found[0], found[3])] == [2, 4]
    assert [one.product_id for one in found[1:3] if isinstance(one, UnknownProduct)] == [404, 2**63 - 1]


async def test_bad_ids_are_refused_alone(catalogue):
    """Over gRPC an id that cannot be one is not found, in its place, and the price of the others is there."""
    items = [pb.GetProduct(product_id=product_id) for product_id in (0, 2, -1, 404, -(2**63))]
    reply = await ProductApi(catalogue).GetProducts(pb.GetProductsRequest(items=items), None)
    assert [result.refusal.code for result in reply.results] == [NOT_FOUND, 0, NOT_FOUND, NOT_FOUND, NOT_FOUND]
    assert (reply.results[1].product.name, reply.results[1].product.price_minor) == ("Mouse", 2999)


async def test_the_list_goes_out_whole(catalogue, sold):
    """Over gRPC the list has every product once, by id."""
    reply = await ProductApi(catalogue).ListProducts(pb.ListProductsRequest(), None)
    assert [product.id for product in reply.products] == list(sold)
    assert all(product.created_at_ms for product in reply.products)


@pytest.mark.real
@pytest.mark.parametrize(
    "sql", ["UPDATE products SET price_minor = 1", "DELETE FROM products", "CREATE TABLE t (x int)"]
)
async def test_role_may_only_read(db, sql):
    """The service cannot change what it sells, nor at what price."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await db.fetch(sql)


@pytest.mark.real
async def test_a_price_is_at_most_ten_million_dollars(db, server):
    """A price past the bound is refused, so that the total of 100 lines of 9,999 pieces is exact in every number."""
    url = urlunsplit(urlsplit(server)._replace(path="/product_tests"))
    connection = await asyncpg.connect(url)
    try:
        with pytest.raises(asyncpg.CheckViolationError, match="products_price_minor_most"):
            await connection.execute("UPDATE product.products SET price_minor = $1 WHERE id = 1", MOST + 1)
    finally:
        await connection.close()
    total = 100 * 9999 * MOST
    assert total < 2**63
    assert {int(Decimal(repr(to_json(total - cents))) * 100) for cents in (0, 1, 99)} == {total, total - 1, total - 99}


@edge_ids
async def test_ids_of_64_bits_come_back_as_plain_numbers(products, catalogue, list_product, edge):
    """A product with an id of any size is listed, found and sent on with that number, in the domain's own types."""
    await list_product(products, edge)
    assert_plain(await catalogue.list_products())
    [found] = await catalogue.get_products([edge])
    assert found.id == edge
    assert_plain(found)
    request = pb.GetProductsRequest(items=[pb.GetProduct(product_id=edge)])
    assert (await ProductApi(catalogue).GetProducts(request, None)).results[0].product.id == edge
