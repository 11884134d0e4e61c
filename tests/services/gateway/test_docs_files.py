"""The files of the page at /docs: compressed for whoever takes that, and not sent again where they are known."""

import pytest

from services.gateway.docs import FILES, accepts_gzip


async def ask(gateway, path, **headers):
    """Give the answer to a request whose body is left as it comes."""
    given = {"Accept-Encoding": "identity"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return await gateway.client.get(path, headers=given, auto_decompress=False)


@pytest.mark.parametrize("path", FILES)
async def test_the_page_is_sent_compressed(gateway, path):
    """Each file is compressed for a client that takes gzip, is the same file then, and whole for one that does not."""
    whole = await ask(gateway, path)
    plain = await whole.read()
    assert plain == FILES[path].read_bytes()
    assert "Content-Encoding" not in whole.headers
    small = await gateway.client.get(path, headers={"Accept-Encoding": "br, gzip"})
    assert (small.headers["Content-Encoding"], await small.read()) == ("gzip", plain)
    assert {one.headers["Vary"] for one in (whole, small)} == {"Accept-Encoding"}
    assert whole.headers["Content-Type"] == small.headers["Content-Type"]


async def test_the_viewer_is_a_third_of_its_size(gateway):
    """What a reader loads first shrinks from 1.6 MB to less than half a megabyte."""
    small = await ask(gateway, "/docs/viewer.js", Accept_Encoding="gzip")
    assert int(small.headers["Content-Length"]) == len(await small.read()) < 500_000


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_a_known_file_is_not_sent_again(gateway, encoding):
    """Whoever has the file is told that it is the same; whoever has another one gets it."""
    tag = (await ask(gateway, "/docs/page.js", Accept_Encoding=encoding)).headers["ETag"]
    again = await ask(gateway, "/docs/page.js", Accept_Encoding=encoding, If_None_Match=f'"x", {tag}')
    assert (again.status, await again.read(), again.headers["ETag"]) == (304, b"", tag)
    assert "Content-Security-Policy" in again.headers
    assert (await ask(gateway, "/docs/page.js", If_None_Match='"x"')).status == 200


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("gzip", True),
        ("br;q=1.0, gzip;q=0.8", True),
        ("*", True),
        ("GZIP ; q=0.001", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
    ],
)
def test_who_takes_gzip(header, taken):
    """A client says which encodings it takes, with weights of which 0 means none."""
    assert accepts_gzip(header) is taken
