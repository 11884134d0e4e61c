"""The pages over HTTP: what is shown, what is wrong with what was sent, and who is away."""

import asyncio
import io
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import FormData

from services.errors import Unavailable
from services.pb import checkout_pb2, payment_pb2
from tests.services.console import made

OTHER = "2b8f9499-04b9-45f5-8d0e-15fd9a60d51b"
AWAY = Unavailable("checkout is unavailable")


async def page(client, path, status=200, **more):
    """Load a page, and give its text."""
    async with client.get(path, **more) as response:
        text = await response.text()
        assert response.status == status, text
        assert response.content_type == "text/html"
        return text


def words(text):
    """What a person reads."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


async def test_the_list_shows_checkouts_and_leads_to_them(client):
    """Each checkout is a row with its phase, user, lines, total and time, and a link to its story."""
    text = await page(client, "/checkouts")
    assert f'href="/checkouts/{made.ID}"' in text
    said = words(text)
    for word in ("Completed", "2 × Laptop", "$2,599.98", "REST", "UTC"):
        assert word in said


async def test_the_filter_asks_for_what_it_says(client, services):
    """The fields of the filter reach the service, stay in the form, and go along to the next page."""
    services.next_cursor = "next"
    text = await page(client, "/checkouts?user=7&phase=Failed&least=12.50&product=")
    wanted, _, cursor = services.asked[-1]
    assert (wanted.user_id, list(wanted.saga_steps), wanted.total_from_minor, cursor) == (7, ["FAILED"], 1250, None)
    assert 'name="user" type="text" value="7"' in text
    older = re.search(r'rel="next" href="([^"]+)"', text)[1].replace("&amp;", "&")
    assert parse_qs(urlsplit(older).query) == {
        "user": ["7"],
        "phase": ["Failed"],
        "least": ["12.50"],
        "cursor": ["next"],
    }
    await page(client, older)
    assert services.asked[-1][2] == "next"


async def test_a_field_that_makes_no_sense_is_explained(client, services):
    """A wrong field is named beside itself, the rest of the filter holds, and nothing fails."""
    text = await page(client, '/checkouts?user="><script>&origin=rest')
    assert "Write a whole number, such as 7." in text
    assert "<script>" not in text.replace('<script src="/static/', "")
    assert services.asked[-1][0].origin == checkout_pb2.REST


async def test_a_list_says_how_far_it_has_looked(client, services):
    """A page that is not full, though older ones were not looked at, says so and leads further back."""
    services.checkouts, services.next_cursor, services.searched_to_ms = {}, "next", made.NOW
    said = words(await page(client, "/checkouts?product=9"))
    assert "None of those looked at passes this filter." in said
    assert "Looked back to" in said
    assert "Look further back" in said


async def test_an_empty_list_says_so(client, services):
    """Without a checkout that passes there is a sentence, and a way back."""
    services.checkouts = {}
    assert "No checkout passes this filter." in await page(client, "/checkouts?user=1")


async def test_a_cursor_that_is_none_leads_to_the_newest(client):
    """An address that was cut off or is too old shows the newest page instead of an error."""
    async with client.get("/checkouts?user=7&cursor=broken", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "/checkouts?user=7")


async def test_a_name_leads_to_its_checkout(client, services):
    """A name of one checkout leads to its story, one of several to a list, and one of none to a page that says so."""
    async with client.get("/find?q=%20first%20", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, f"/checkouts/{made.ID}")
    services.checkouts[OTHER] = made.inspected(of=made.checkout(id=OTHER))
    assert "2 checkouts with this name" in await page(client, "/find?q=first")
    assert "Nothing found" in await page(client, "/find?q=nobody", 404)
    assert "Nothing found" in await page(client, "/find?q=%00", 404)
    async with client.get("/find?q=", allow_redirects=False) as response:
        assert response.status == 303


async def test_a_story_shows_what_each_service_holds(client):
    """The page of a checkout has its timeline, lines, payment, reservation, event, names and traces."""
    said = words(await page(client, f"/checkouts/{made.ID}"))
    for word in ("Asked for", "Published", "Captured", "Sold", "2 of product 1", "req-1", made.TRACE, "first"):
        assert word in said, word
    assert f"make story CHECKOUT={made.ID}" in said


@pytest.mark.parametrize("viewer", ["", "https://jaeger.example/trace/{trace_id}?uiEmbed=v0"])
async def test_a_story_leads_to_its_trace(client, viewer):
    """Where a viewer of traces is set, a checkout's page links to its trace; else it only names it."""
    shown = await page(client, f"/checkouts/{made.ID}")
    assert made.TRACE in shown
    link = f'<a href="https://jaeger.example/trace/{made.TRACE}?uiEmbed=v0">Open the trace</a>'
    assert (link in shown) is bool(viewer)
    assert "not sampled" not in shown


async def test_an_unknown_checkout_is_a_page_with_words(client):
    """An id that there is not is 404, and says what to do."""
    said = words(await page(client, f"/checkouts/{OTHER}", 404))
    assert "Not here" in said
    assert "Search for it by another of its names." in said
    assert "There is no such page." in await page(client, "/nowhere", 404)


async def test_a_part_that_is_away_is_named(client, services):
    """A story without its payment still shows the rest, and says who does not answer; a front page does too."""
    services.faults = {"payment": AWAY, "stock": AWAY}
    said = words(await page(client, f"/checkouts/{made.ID}"))
    assert "payment does not answer" in said
    assert "Sold" in said
    assert "inventory does not answer" in words(await page(client, "/"))


async def test_without_the_checkout_service_the_pages_say_so(client, services):
    """While the checkout service is away the front page loads, and the others are 503 with words."""
    services.faults = dict.fromkeys(("search", "find", "inspect", "summarize", "cancel"), AWAY)
    assert "checkout does not answer" in words(await page(client, "/"))
    for path in ("/checkouts", f"/checkouts/{made.ID}", "/find?q=x"):
        assert "A part does not answer" in await page(client, path, 503)


async def test_an_unexpected_failure_is_a_page_with_a_request_id(client, services):
    """A bug ends as 500 with what to look for in the log, and nothing internal."""
    services.faults = {"search": ZeroDivisionError("secret")}
    text = await page(client, "/checkouts", 500, headers={"X-Request-Id": "req-77"})
    assert "req-77" in text
    assert "secret" not in text


async def form(client, path):
    """Load a page, and give the token of its form."""
    return re.search(r'name="csrf" value="([^"]+)"', await page(client, path))[1]


async def test_a_running_checkout_is_cancelled_from_its_page(client, services):
    """The button sends a form with the page's token; the checkout is asked to be cancelled, and its page is shown again."""
    services.checkouts[made.ID] = made.inspected("PAYING")
    services.payments[made.ID] = made.payment(payment_pb2.INTENT)
    token = await form(client, f"/checkouts/{made.ID}")
    sent = client.post(f"/checkouts/{made.ID}/cancel", data={"csrf": token}, allow_redirects=False)
    async with sent as response:
        assert (response.status, response.headers["Location"]) == (303, f"/checkouts/{made.ID}")
    assert services.cancelled == [made.ID]


@pytest.mark.parametrize("forged", ["no token", "another token", "no cookie", "another site", "a file"])
async def test_a_forged_form_cancels_nothing(client, services, forged):
    """A form without the person's own token, or of another site, is refused with words, and nothing is cancelled."""
    services.checkouts[made.ID] = made.inspected("PAYING")
    token = await form(client, f"/checkouts/{made.ID}")
    data = {"no token": {}, "another token": {"csrf": token[::-1]}}.get(forged, {"csrf": token})
    headers = {"Sec-Fetch-Site": "cross-site"} if forged == "another site" else {}
    if forged == "no cookie":
        client.session.cookie_jar.clear()
    if forged == "a file":
        data = FormData({"csrf": io.BytesIO(token.encode())})
    async with client.post(f"/checkouts/{made.ID}/cancel", data=data, headers=headers) as response:
        assert response.status == 403
        assert "Not sent" in await response.text()
    assert services.cancelled == []


async def test_what_has_ended_has_no_button(client):
    """The page of a checkout that has ended offers nothing to cancel."""
    assert "Cancel this checkout" not in await page(client, f"/checkouts/{made.ID}")


async def test_every_answer_is_protected(client):
    """Pages, errors and files run nothing but our own script, are framed by nobody, and pages are kept by no cache."""
    for path in ("/", "/checkouts", "/nowhere", "/static/console.css", f"/checkouts/{made.ID}"):
        async with client.get(path) as response:
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Cache-Control"] == ("no-store" if "static" not in path else CACHED)
    client.session.cookie_jar.clear()
    async with client.get("/") as response:
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(response.headers["Set-Cookie"].split("; ")[1:])


CACHED = "public, max-age=31536000, immutable"


async def test_pages_hold_no_inline_script_or_style(client):
    """No page has a script, a style or a handler in itself: the policy would stop it."""
    for path in ("/", "/checkouts", f"/checkouts/{made.ID}", "/find?q=nobody"):
        async with client.get(path) as response:
            text = await response.text()
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=)", text), path


async def test_files_are_found_by_the_pages_addresses(client):
    """Every file that a page names is there, under an address that changes with its content; others are not."""
    text = await page(client, "/")
    found = re.findall(r'(?:href|src)="(/static/[^"]+)"', text)
    assert len(found) == 3
    for path in found:
        async with client.get(path) as response:
            assert response.status == 200
    await page(client, "/static/..%2Fmain.py", 404)


async def events(response, count):
    """Read so many events of a stream: (name, data)."""
    found, name, data = [], "message", []
    async with asyncio.timeout(15):
        while len(found) < count:
            line = (await response.content.readline()).decode().rstrip("\r\n")
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                data.append(line.removeprefix("data: "))
            elif not line and (data or name != "message"):
                found.append((name, "\n".join(data)))
                name, data = "message", []
    return found


async def test_a_story_goes_on_while_it_runs(client, services):
    """An open page gets its story again when the checkout changes, and the end once nothing is left to come."""
    services.checkouts[made.ID] = made.inspected("PAYING")
    async with client.get(f"/checkouts/{made.ID}/events") as response:
        assert response.content_type == "text/event-stream"
        [(name, first)] = await events(response, 1)
        assert (name, "Paying" in first) == ("update", True)
        services.checkouts[made.ID] = made.inspected(event=made.event())
        services.orders[made.ORDER] = made.order()
        services.changed.put_nowait(made.checkout())
        (_, second), end = await events(response, 2)
        assert "and the order is there" in second
        assert end[0] == "end"


async def test_the_list_follows_what_changes(client, services):
    """An open list gets its newest page again when any checkout changes."""
    async with client.get("/checkouts/events?user=7") as response:
        await events(response, 1)
        services.checkouts[OTHER] = made.inspected(of=made.checkout(id=OTHER))
        services.changed.put_nowait(made.checkout(id=OTHER))
        [(_, text)] = await events(response, 1)
        assert OTHER in text
    assert services.asked[-1][0].user_id == 7


async def test_a_stream_rides_out_a_part_that_is_away(client, services):
    """While a service does not answer an open page stays as it is; it goes on once the service is back."""
    services.checkouts[made.ID] = made.inspected("PAYING")
    services.faults = {"inspect": AWAY}
    async with client.get(f"/checkouts/{made.ID}/events") as response:
        assert response.status == 200
        services.faults = {}
        [(name, text)] = await events(response, 1)
        assert (name, "Paying" in text) == ("update", True)


async def test_nothing_is_followed_while_nobody_looks(client, services, eventually_async):
    """The stream of changes is open while a page is, and closed after the last one has gone."""
    assert services.streams == 0
    services.checkouts[made.ID] = made.inspected("PAYING")
    response = await client.get(f"/checkouts/{made.ID}/events")
    await events(response, 1)
    await eventually_async(lambda: services.streams == 1)
    response.close()
    await eventually_async(lambda: services.streams == 0)


async def test_a_stream_of_an_unknown_checkout_is_404(client):
    """A page that follows a checkout that there is not is told so."""
    async with client.get(f"/checkouts/{OTHER}/events") as response:
        assert response.status == 404
