"""Both places where products can be kept: in memory, and in PostgreSQL."""

from dataclasses import replace
from datetime import UTC, datetime

import asyncpg
import pytest

from services.chassis.migrate import role_of
from services.chassis.postgres import Postgres
from services.product.domain import Product
from services.product.store import PostgresProducts
from services.product.usecases import Catalogue

SOLD = {
    1: ("Laptop", 129999),
    2: ("Mouse", 2999),
    3: ("Keyboard", 8999),
    4: ("Monitor", 39999),
    5: ("Headphones", 19999),
}


class MemoryProducts:
    """Fits the port Products."""

    def __init__(self):
        self.kept = {
            number: Product(number, name, f"A {name}", price, "USD", "http://example.com/a.jpg", datetime.now(UTC))
            for number, (name, price) in SOLD.items()
        }

    async def all(self):
        return [self.kept[number] for number in sorted(self.kept)]

    async def by_ids(self, ids):
        return [self.kept[number] for number in set(ids) & self.kept.keys()]


@pytest.fixture
def sold():
    """Name and price in minor units of each product, by id."""
    return SOLD


@pytest.fixture
async def url(database):
    """A database of these tests' own, with the products of a new shop, whose rows do not lie in the order of ids."""
    return await database(
        "product", "DELETE FROM product.products WHERE id > 5; UPDATE product.products SET name = name WHERE id = 1"
    )


@pytest.fixture
async def db(url):
    """The pool of the service's own role."""
    async with Postgres(url, role=role_of("product"), schema="product", size=4) as db:
        yield db


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.real)])
def products(request):
    """The store; PostgreSQL is asked for only where it is needed."""
    if request.param == "memory":
        return MemoryProducts()
    return PostgresProducts(request.getfixturevalue("db"))


@pytest.fixture
def catalogue(products):
    """The use case on either store."""
    return Catalogue(products)


@pytest.fixture
def list_product(request):
    """Begin to sell another product."""

    async def list_product(products, product_id):
        if isinstance(products, MemoryProducts):
            products.kept[product_id] = replace(products.kept[1], id=product_id)
            return
        connection = await asyncpg.connect(request.getfixturevalue("url"))
        await connection.execute(
            "INSERT INTO product.products SELECT (json_populate_record(p, json_build_object('id', $1::bigint))).*"
            " FROM product.products p WHERE p.id = 1 ON CONFLICT (id) DO NOTHING",
            product_id,
        )
        await connection.close()

    return list_product
