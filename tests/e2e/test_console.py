"""The console in a real browser, beside a running platform: what a shopkeeper does with it."""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import expect

from tests.browser import browser, shoot, violations
from tests.e2e.outages import away
from tests.platforms import Shopper

pytestmark = [pytest.mark.e2e, pytest.mark.local, pytest.mark.timeout(300)]

WAIT = 30_000  # milliseconds; under load an update may take a while
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def chrome():
    """A browser."""
    expect.set_options()
    with browser() as made:
        yield made


@pytest.fixture
def open_page(chrome, platform):
    """Open a page of the console, in a window of its own; what a script complains of fails the test."""
    contexts, complaints = [], []

    def open_page(path="/", *, viewport=WIDE, scheme="light", script=True, timezone="Asia/Tokyo"):
        context = chrome.new_context(
            base_url=platform.urls["CONSOLE_URL"],
            viewport=viewport,
            color_scheme=scheme,
            java_script_enabled=script,
            timezone_id=timezone,
            locale="en-GB",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if is_complaint(line) else None)
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def is_complaint(line):
    """Whether a line of the browser's console is an error; that a page is not there is none."""
    return line.type == "error" and "status of 404" not in line.text


@dataclass(frozen=True)
class Purchase:
    """A checkout, who made it, and under which key."""

    shopper: Shopper
    key: str
    id: str
    order_id: str = ""


def buy(platform, behaviour, product_id, quantity):
    """Have a new user buy, while the bank behaves so."""
    shopper, key = platform.shopper(), f"console-{secrets.token_hex(6)}"
    platform.bank(behaviour, shopper.user_id)
    shopper.add(product_id, quantity)
    answer = shopper.buy(key).json()
    return Purchase(shopper, key, answer["checkout_id"], answer.get("order_id", ""))


@pytest.fixture(scope="module")
def bought(platform):
    """A purchase that has completed."""
    return buy(platform, "approve", 1, 2)


@pytest.fixture(scope="module")
def waiting(platform):
    """A purchase whose bank does not answer, until the last test of it."""
    return buy(platform, "hang", 3, 1)


def test_a_stuck_payment_is_found_understood_and_cancelled(open_page, platform):
    """From the front page a person finds the purchase that waits for the bank, reads why, and cancels it."""
    stuck = buy(platform, "hang", 3, 1)
    page = open_page("/")
    page.get_by_role("link", name=stuck.id[:8]).click()
    expect(page.get_by_role("heading", name="Waiting for the payment.")).to_be_visible()
    expect(page.get_by_text(re.compile("The bank has not answered for"))).to_be_visible()
    expect(page.get_by_text("Undecided", exact=True)).to_be_visible()
    shoot(page, "stuck")
    page.get_by_role("button", name="Cancel this checkout").click()
    # The bank hangs charges; it voids what it has not captured.
    expect(page.get_by_role("heading", name="Not bought: it was cancelled. Nothing was charged.")).to_be_visible(
        timeout=60_000
    )
    expect(page.get_by_text("Given back", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Cancel this checkout")).to_have_count(0)
    shoot(page, "cancelled")
    checkout = stuck.shopper.checkout(stuck.id)
    assert (checkout["status"], checkout["reason"]) == ("FAILED", "Cancelled")
    assert stuck.shopper.cart()["total_items"] == 1


def test_a_checkout_is_found_by_the_keyboard_alone(open_page, bought):
    """The slash leads to the search, a key to its checkout; filters and links are reached by the tabulator."""
    page = open_page("/checkouts")
    page.keyboard.press("/")
    page.keyboard.type(bought.key)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(bought.id))
    expect(page.get_by_role("heading", name=re.compile("Bought: ."))).to_be_visible()
    shoot(page, "story")
    page.get_by_role("link", name=str(bought.shopper.user_id)).press("Enter")
    expect(page).to_have_url(re.compile(f"user={bought.shopper.user_id}"))
    expect(page.locator("table.list tbody tr")).to_have_count(1)
    page.get_by_label("Phase").select_option("Failed")
    page.get_by_role("button", name="Show").press("Enter")
    expect(page.get_by_text("No checkout passes this filter.")).to_be_visible()
    assert "least=" not in page.url  # an empty field has no place in the address


def test_times_are_the_readers(open_page, bought):
    """A time is shown in the reader's zone, with the exact one behind it; the filter by time is in that zone too."""
    page = open_page(f"/checkouts/{bought.id}")
    expect(page.locator("#zone")).to_have_text("in your time zone, Asia/Tokyo")
    shown = page.locator("time").first
    utc = datetime.fromisoformat(shown.get_attribute("datetime"))
    assert (utc + timedelta(hours=9)).strftime("%d %b %Y, %H:%M:%S") == shown.inner_text()
    page.goto("/checkouts")
    page.get_by_label("From", exact=True).fill("2026-01-01T09:00:00")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile(r"from=2026-01-01T00%3A00"))
    expect(page.get_by_label("From", exact=True)).to_have_value(re.compile("2026-01-01T09:00"))


def test_without_a_script_everything_can_be_read(open_page, waiting, bought):
    """Without a script pages are whole, in UTC; search and filter work, and the button is there."""
    page = open_page("/", script=False)
    page.get_by_role("link", name="Checkouts", exact=True).click()
    expect(page.get_by_text("UTC").first).to_be_visible()
    page.get_by_label(re.compile("Find a checkout")).fill(bought.id)
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_text(bought.order_id).first).to_be_visible()
    page.goto(f"/checkouts?user={waiting.shopper.user_id}&phase=Running")
    page.get_by_role("link", name=waiting.id[:8]).click()
    expect(page.get_by_role("button", name="Cancel this checkout")).to_be_visible()


@pytest.mark.parametrize(("scheme", "viewport"), [("light", WIDE), ("dark", NARROW)], ids=["light-wide", "dark-narrow"])
def test_every_page_can_be_used_by_everybody(open_page, waiting, bought, scheme, viewport):
    """Every page keeps to WCAG AA in light and dark, on wide and narrow screens, and is not wider than the screen."""
    width = "wide" if viewport is WIDE else "narrow"
    pages = {
        "now": "/",
        "checkouts": "/checkouts",
        "wrong": "/checkouts?user=x&phase=Failed",
        "none": "/find?q=nobody",
        "running": f"/checkouts/{waiting.id}",
        "story": f"/checkouts/{bought.id}",
        "missing": "/checkouts/00000000-0000-0000-0000-000000000000",
    }
    page = open_page("/", viewport=viewport, scheme=scheme)
    for name, path in pages.items():
        page.goto(path)
        page.wait_for_load_state("load")
        shoot(page, f"{name}-{scheme}-{width}")
        assert violations(page) == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], name


def test_a_part_that_is_away_is_named_and_comes_back(open_page, platform, bought, eventually):
    """While the payment service is stopped a story says so and shows the rest; once it is back nothing is missing."""
    with away(platform, "payment"):
        page = open_page(f"/checkouts/{bought.id}")
        expect(page.get_by_text("Not known: payment does not answer.")).to_be_visible()
        expect(page.get_by_text("Sold", exact=True)).to_be_visible()
        shoot(page, "part-away")

    def is_whole_again():  # the console's breaker and connection take a moment too
        page.reload()
        return page.get_by_text("Captured", exact=True).is_visible()

    eventually(is_whole_again, 30, every=0.5)


def test_a_purchase_is_followed_while_it_runs(open_page, platform, waiting):
    """An open story goes on by itself until its order is there: the bank answers, and nothing is loaded anew."""
    page = open_page(f"/checkouts/{waiting.id}")
    expect(page.locator("#live-state")).to_have_text("Live")
    page.evaluate("window.same = true")
    platform.bank("approve", waiting.shopper.user_id)
    expect(page.get_by_role("heading", name=re.compile("and the order is there"))).to_be_visible(timeout=90_000)
    assert page.evaluate("window.same")
    expect(page.locator("#live-state")).to_have_text("")
