"""The README's first commands, pasted together, show what it says."""

import re
import subprocess

import pytest

from devstack.home import ROOT

pytestmark = pytest.mark.e2e


def test_the_first_order(platform, shopper):
    """The commands of the first order, run one right after the other, end with the order that the checkout named."""
    start = (ROOT / "README.md").read_text().partition("## On your machine")[0]
    lines = [line[2:] for line in start.splitlines() if line.startswith("$ ") and "curl" in line]
    script = "\n".join(lines).replace("http://localhost:8080", platform.urls["CARTWRIGHT_URL"])
    script = script.replace("curl -s", f"curl -s -w '\\n' -H 'X-User-Id: {shopper.user_id}'")
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    cart, checkout, orders = done.splitlines()
    assert '"product_name":"Laptop"' in cart
    checkout_id = re.search(r'"checkout_id":"([^"]+)"', checkout)[1]
    assert f'"checkout_id":"{checkout_id}"' in orders
