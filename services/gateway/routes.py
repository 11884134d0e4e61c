"""The routes of the REST contract."""

from typing import Any

from aiohttp import hdrs, web

from services.chassis.client import outcomes
from services.chassis.ready import ReadyResponse
from services.chassis.web import json_response
from services.errors import Conflict, Fault, InternalError, OutcomeUnknown
from services.gateway import bodies, docs, views
from services.gateway.answers import answer
from services.gateway.clients import Services
from services.gateway.edge import USER, Asked, Handles
from services.pb import checkout_pb2


class Routes:
    """The handlers of all routes. They call the services."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def table(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/api/v1/products", self.products),
            web.get("/api/v1/products/{id}", self.product),
            web.get("/api/v1/cart", self.cart),
            web.delete("/api/v1/cart", self.clear),
            web.post("/api/v1/cart/items", self.add),
            web.put("/api/v1/cart/items/{product_id}", self.set_quantity),
            web.delete("/api/v1/cart/items/{product_id}", self.remove),
            web.post("/api/v1/checkout", self.start_checkout),
            web.get("/api/v1/checkout/{checkout_id}", self.checkout),
            web.get("/api/v1/orders", self.orders),
            web.get("/api/v1/orders/{id}", self.order),
            *docs.routes(),
        ]

    def plain_reads(self) -> dict[str, Handles]:
        """Return the handlers of the routes that are read most, by path."""
        return {"/api/v1/products": self.products, "/api/v1/cart": self.cart}

    async def products(self, request: Asked) -> web.StreamResponse:
        """Return the catalogue, or 304 if the client has it already."""
        catalogue = await self._services.products()
        asked = request.headers
        if hdrs.IF_NONE_MATCH in asked and catalogue.is_known(asked.getall(hdrs.IF_NONE_MATCH)):
            return web.Response(status=304, headers={hdrs.ETAG: catalogue.etag})
        return ReadyResponse(catalogue.body, headers={hdrs.ETAG: catalogue.etag})

    async def product(self, request: web.Request) -> web.StreamResponse:
        """Return one product."""
        product = await self._services.product(bodies.product_id(request.match_info["id"]))
        return json_response(views.product(product))

    async def cart(self, request: Asked) -> web.StreamResponse:
        """Return the cart."""
        found = await self._services.cart(request[USER])
        return ReadyResponse(views.cart_body(found.SerializeToString()))

    async def add(self, request: web.Request) -> web.StreamResponse:
        """Add a product to the cart."""
        body = await bodies.read(request, bodies.AddItem)
        product_id = bodies.product_id(body.product_id)
        return json_response(
            views.cart(await self._services.add(request[USER], product_id, bodies.bounded(body.quantity)))
        )

    async def set_quantity(self, request: web.Request) -> web.StreamResponse:
        """Set the quantity of a line."""
        body = await bodies.read(request, bodies.SetQuantity)
        product_id = bodies.product_id(request.match_info["product_id"])
        quantity = bodies.bounded(body.quantity)
        return json_response(views.cart(await self._services.set_quantity(request[USER], product_id, quantity)))

    async def remove(self, request: web.Request) -> web.StreamResponse:
        """Remove a line."""
        product_id = bodies.product_id(request.match_info["product_id"])
        return json_response(views.cart(await self._services.remove(request[USER], product_id)))

    async def clear(self, request: web.Request) -> web.StreamResponse:
        """Remove every line."""
        return json_response(views.cart(await self._services.clear(request[USER])))

    async def start_checkout(self, request: web.Request) -> web.StreamResponse:
        """Buy the cart. Returns the stored answer byte for byte, or 202 while the outcome is not known."""
        body = await bodies.read(request, bodies.StartCheckout)
        key = bodies.key(request, body)
        try:
            result = await self._services.start_checkout(request[USER], key)
            outcome = outcomes([result], lambda good: good.answer, expected=1)[0]
            if isinstance(outcome, (OutcomeUnknown, InternalError)):
                raise outcome
        except OutcomeUnknown as fault:
            raise OutcomeUnknown("the outcome is not known yet; repeat the request with the same key") from fault
        except InternalError as fault:
            text = "internal error; whether it was bought is not known yet: repeat the request with the same key"
            raise InternalError(text) from fault
        if isinstance(outcome, Fault):
            return _refused(outcome, result)
        return _started(outcome)

    async def checkout(self, request: web.Request) -> web.StreamResponse:
        """Return a checkout."""
        checkout = await self._services.checkout(request[USER], request.match_info["checkout_id"])
        return json_response(views.checkout(checkout))

    async def orders(self, request: web.Request) -> web.StreamResponse:
        """Return a page of orders."""
        limit = bodies.limit(request.query.get("limit"))
        page = await self._services.orders(request[USER], limit, request.query.get("cursor", ""))
        shown = {"orders": [views.order(order) for order in page.orders], "next": page.next_cursor or None}
        return json_response(shown)

    async def order(self, request: web.Request) -> web.StreamResponse:
        """Return one order."""
        return json_response(views.order(await self._services.order(request[USER], request.match_info["id"])))


def _refused(fault: Fault, result: checkout_pb2.StartCheckoutResult) -> web.StreamResponse:
    return answer(fault, **(views.conflict(result) if isinstance(fault, Conflict) else {}))


def _started(outcome: Any) -> web.StreamResponse:
    if outcome.status == checkout_pb2.PROCESSING:
        where = {"Location": f"/api/v1/checkout/{outcome.checkout_id}"}
        return json_response({"checkout_id": outcome.checkout_id, "status": "PROCESSING"}, status=202, headers=where)
    headers = {"Idempotent-Replayed": "true"} if outcome.replayed else {}
    return ReadyResponse(outcome.body, headers=headers)
