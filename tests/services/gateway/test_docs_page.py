"""The page at /docs in a real browser: it runs under its policy, loads nothing from elsewhere, and sends a request."""

import asyncio
from urllib.parse import urlsplit

from tests.browser import browser


def try_a_call(url):
    """Open the page, enter a token and a user, and add a product to the cart. Returns the answer shown, the request, what was loaded and what went wrong."""
    wrong, loaded = [], []
    with browser() as chromium:
        page = chromium.new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: loaded.append(request.url))
        page.goto(url)
        page.click(".authorize")
        page.fill(".modal-ux input", "a.b.c")
        page.click(".modal-ux .authorize")
        page.click(".modal-ux .btn-done")
        operation = "#operations-Cart-addItem"
        page.click(f"{operation} .opblock-summary-control")
        page.fill(f"{operation} input[placeholder='X-User-Id']", "7")
        with page.expect_request(lambda request: request.method == "POST") as sent:
            page.click(f"{operation} .execute")
        shown = page.locator(f"{operation} .live-responses-table").inner_text()
        kept = page.evaluate("JSON.stringify([localStorage, sessionStorage])")
        return shown, sent.value.headers, loaded, [*wrong, *([kept] if "a.b.c" in kept else [])]


async def test_a_call_is_tried_in_a_browser(gateway, backend):
    """A reader enters a token or a user and sends the example of an operation. The browser finds nothing that the policy forbids."""
    url = str(gateway.client.make_url("/docs"))
    shown, headers, loaded, wrong = await asyncio.to_thread(try_a_call, url)
    assert wrong == []
    assert {urlsplit(one).netloc for one in loaded if not one.startswith("data:")} == {urlsplit(url).netloc}
    assert (headers["authorization"], headers["x-user-id"]) == ("Bearer a.b.c", "7")
    assert '"total_items": 1' in shown
    assert backend.carts == {7: {1: 2}}
