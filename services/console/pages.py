"""The pages of the console, and what they do with what a person sends."""

import asyncio
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from services.console import criteria, live, security
from services.console.board import Board
from services.console.clients import Services, ask_part, load_story
from services.console.listing import Row, rows
from services.console.live import Changes, Fragment
from services.console.rendering import Renderer, Statics, now_ms
from services.console.story import Story
from services.errors import Invalid

PAGE = 50
MOST_FOUND = 50
MAX_TEXT = 255


class Pages:
    """Answers requests for pages."""

    def __init__(
        self, services: Services, board: Board, renderer: Renderer, changes: Changes, stopping: asyncio.Event
    ) -> None:
        self._services = services
        self._board = board
        self._renderer = renderer
        self._changes = changes
        self._stopping = stopping

    def table(self, statics: Statics) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/", self.now),
            web.get("/events", self.now_events),
            web.get("/checkouts", self.checkouts),
            web.get("/checkouts/events", self.checkouts_events),
            web.get("/find", self.find),
            web.get("/checkouts/{id}", self.checkout),
            web.get("/checkouts/{id}/events", self.checkout_events),
            web.post("/checkouts/{id}/cancel", self.cancel),
            web.get("/static/{name}", statics.serve),
        ]

    async def now(self, request: web.Request) -> web.StreamResponse:
        """Show what is happening now."""
        return self._renderer.page(request, "now.html", found=await self._board.now())

    async def now_events(self, request: web.Request) -> web.StreamResponse:
        """Send the front page again while it changes."""

        async def make() -> Fragment:
            return Fragment(self._renderer.fragment("_now.html", found=await self._board.now()))

        return await live.follow(request, make, self._changes, self._stopping)

    async def checkouts(self, request: web.Request) -> web.StreamResponse:
        """Show a page of the checkouts that pass a filter."""
        asked = criteria.read(request.query)
        values = await self._listed(asked, request.query.get("cursor"))
        products = await ask_part("product", self._services.products())
        names = products.value.values() if products.value else ()
        return self._renderer.page(
            request,
            "checkouts.html",
            asked=asked,
            products=names,
            live="" if request.query.get("cursor") else f"/checkouts/events?{asked.query}",
            choices={"phase": criteria.PHASE_NAMES, "reason": criteria.REASON_NAMES, "origin": tuple(criteria.ORIGINS)},
            **values,
        )

    async def checkouts_events(self, request: web.Request) -> web.StreamResponse:
        """Send the newest page of a filter again while it changes."""
        asked = criteria.read(request.query)

        async def make() -> Fragment:
            return Fragment(self._renderer.fragment("_rows.html", **await self._listed(asked, None)))

        return await live.follow(request, make, self._changes, self._stopping)

    async def find(self, request: web.Request) -> web.StreamResponse:
        """Show the checkout that has a name, or those that have it."""
        text = request.query.get("q", "").strip()
        if not text:
            raise web.HTTPSeeOther("/checkouts")
        found = await self._services.find(text[:MAX_TEXT], MOST_FOUND) if "\0" not in text else []
        if len(found) == 1:
            raise web.HTTPSeeOther(f"/checkouts/{found[0].id}")
        return self._renderer.page(request, "found.html", status=200 if found else 404, text=text, found=_rows(found))

    async def checkout(self, request: web.Request) -> web.StreamResponse:
        """Show the story of one checkout."""
        story = await self._story(request.match_info["id"])
        return self._renderer.page(request, "checkout.html", story=story)

    async def checkout_events(self, request: web.Request) -> web.StreamResponse:
        """Send the story of one checkout again until it has come to its end."""
        checkout_id = request.match_info["id"]
        token = security.form_token(request)

        async def make() -> Fragment:
            story = await self._story(checkout_id)
            return Fragment(self._renderer.fragment("_story.html", story=story, csrf=token), last=story.settled)

        return await live.follow(request, make, self._changes, self._stopping, checkout_id=checkout_id)

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """Ask for the cancellation of a checkout, and show it again."""
        await security.check_form(request)
        checkout = await self._services.cancel(request.match_info["id"])
        raise web.HTTPSeeOther(f"/checkouts/{checkout.id}")

    async def _listed(self, asked: criteria.Criteria, cursor: str | None) -> dict[str, Any]:
        """Return what the list shows. A cursor that is none of a page leads to the newest page."""
        try:
            page = await self._services.search(asked.message, PAGE, cursor)
        except Invalid:
            if cursor is None:
                raise
            raise web.HTTPSeeOther(f"/checkouts?{asked.query}") from None
        following = urlencode({**asked.given, "cursor": page.next_cursor}) if page.HasField("next_cursor") else ""
        return {
            "rows": _rows(page.checkouts),
            "following": f"/checkouts?{following}" if following else "",
            "searched_to": page.searched_to_ms if page.HasField("searched_to_ms") else 0,
            "first": cursor is None,
            "newest": f"/checkouts?{asked.query}",
        }

    async def _story(self, checkout_id: str) -> Story:
        """Return the story of a checkout. NotFound: there is none of this id."""
        return await load_story(self._services, checkout_id)


def _rows(checkouts: Any) -> list[Row]:
    return rows(checkouts, now_ms())
