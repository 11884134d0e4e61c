"""The catalogue on both stores: what is sold, at what price, and what is not."""

import asyncio
from decimal import Decimal

import asyncpg
import pytest

from services.chassis.telemetry import Metrics
from services.errors import Unavailable
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
    reply = await ProductApi(catalogue, Metrics()).GetProducts(pb.GetProductsRequest(items=items), None)
    assert [result.refusal.code for result in reply.results] == [NOT_FOUND, 0, NOT_FOUND, NOT_FOUND, NOT_FOUND]
    assert (reply.results[1].product.name, reply.results[1].product.price_minor) == ("Mouse", 2999)


async def test_the_list_goes_out_whole(catalogue, sold):
    """Over gRPC the list has every product once, by id."""
    reply = await ProductApi(catalogue, Metrics()).ListProducts(pb.ListProductsRequest(), None)
    assert [product.id for product in reply.products] == list(sold)
    assert all(product.created_at_ms for product in reply.products)


@pytest.mark.parametrize("size", [1, 2, 50])
async def test_a_batch_has_each_its_own_answer(catalogue, sold, size):
    """Over gRPC each item of a batch is answered in its place, however many ask for the same product, and one bad id fails alone."""
    asked = [number % 5 + 1 for number in range(size)]
    items = [pb.GetProduct(product_id=product_id) for product_id in [*asked, 404, *asked]]
    reply = await ProductApi(catalogue, Metrics()).GetProducts(pb.GetProductsRequest(items=items), None)
    names = [result.product.name for result in reply.results]
    expected = [sold[product_id][0] for product_id in asked]
    assert names == [*expected, "", *expected]
    assert reply.results[size].refusal.code == NOT_FOUND


class SlowCatalogue:
    """A catalogue whose statements take until a test lets them end."""

    def __init__(self):
        self.statements = []

    async def list_products(self):
        self.statements.append(asyncio.get_running_loop().create_future())
        return await self.statements[-1]


async def turns():
    """Let every task run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_callers_share_a_statement_that_is_not_sent_yet(catalogue):
    """Whoever asks while statements are under way is answered by a later one, which all of them share."""
    slow, listed = SlowCatalogue(), await catalogue.list_products()
    api = ProductApi(slow, Metrics())

    async def ask(count):
        tasks = [asyncio.create_task(api.ListProducts(pb.ListProductsRequest(), None)) for _ in range(count)]
        await turns()
        return tasks

    first, second, third = [await ask(50) for _ in range(3)]
    assert len(slow.statements) == 2  # the third fifty wait: what is under way may have read already
    slow.statements[0].set_result(listed)
    await turns()
    assert [all(task.done() for task in tasks) for tasks in (first, second, third)] == [True, False, False]
    assert len(slow.statements) == 3
    slow.statements[1].set_exception(Unavailable("away"))
    slow.statements[2].set_result(listed[:1])
    await turns()
    assert {len(task.result().products) for task in first} == {len(listed)}
    assert all(isinstance(task.exception(), Unavailable) for task in second)
    assert {len(task.result().products) for task in third} == {1}


@pytest.mark.real
@pytest.mark.parametrize(
    "sql", ["UPDATE products SET price_minor = 1", "DELETE FROM products", "CREATE TABLE t (x int)"]
)
async def test_role_may_only_read(db, sql):
    """The service cannot change what it sells, nor at what price."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await db.fetch(sql)


@pytest.mark.real
async def test_a_price_is_at_most_ten_million_dollars(db, url):
    """A price past the bound is refused, so that the total of 100 lines of 9,999 pieces is exact in every number."""
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
    assert (await ProductApi(catalogue, Metrics()).GetProducts(request, None)).results[0].product.id == edge
