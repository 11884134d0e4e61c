"""The lines of a watch that reach kopf, however they are cut on their way."""

import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkout_operator.cache import ResourceCache
from checkout_operator.watch_filter import FilteredStream, WatchFilter

OWN, FOREIGN = "own", "foreign"


class Body:
    """The body of a response, which comes in these pieces."""

    def __init__(self, pieces):
        self.pieces = pieces

    async def iter_chunked(self, _):
        for piece in self.pieces:
            yield piece

    def exception(self):
        return "as it is"


def line(kind, uid, **spec):
    """Give an event as the API server sends it."""
    return json.dumps({"type": kind, "object": {"metadata": {"uid": uid}, "spec": spec}}).encode() + b"\n"


async def read(pieces):
    """Give what is read of a body."""
    cache = SimpleNamespace(owns=lambda key: key == OWN, find=lambda *_: None)
    stream = FilteredStream(Body(pieces), WatchFilter(cache).keeps)
    return b"".join([chunk async for chunk in stream.iter_chunked(1 << 20)])


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", "DELETED"])
async def test_events_of_others(kind):
    """Every event of this operator's own resources and mirrors comes through as it is, and no other does."""
    own, mirror = line(kind, OWN), line(kind, "m", managedBy="mirror", checkoutId=OWN)
    foreign = line(kind, OWN, managedBy="mirror", checkoutId=FOREIGN)
    assert await read([line(kind, FOREIGN) + own + foreign + mirror + line(kind, FOREIGN)]) == own + mirror


@pytest.mark.parametrize(
    "odd", [b'{"type": "BOOKMARK", "object": {}}\n', b'{"type": "ERROR", "object": {"code": 410}}\n', b"{\n", b"[]\n"]
)
async def test_what_is_about_the_watch(odd):
    """Bookmarks, errors, and what is no event at all are kopf's to deal with."""
    assert await read([line("ADDED", FOREIGN) + odd]) == odd


@given(st.lists(st.sampled_from([OWN, FOREIGN]), max_size=8), st.integers(1, 200))
async def test_any_pieces(uids, size):
    """Wherever the network cuts the stream, the same lines come through, and a line that is cut off comes as it is."""
    sent = b"".join(line("ADDED", uid) for uid in uids) + b'{"ty'
    pieces = [sent[start : start + size] for start in range(0, len(sent), size)]
    assert await read(pieces) == line("ADDED", OWN) * uids.count(OWN) + b'{"ty'


async def test_a_watch_alone_is_filtered():
    """What is not a watch, as a list, is read as it came."""
    response = SimpleNamespace(content=Body([]))

    async def answer(_):
        return response

    for query in ({}, {"watch": "false"}, {"watch": "true"}):
        before = response.content
        request = SimpleNamespace(url=SimpleNamespace(query=query))
        await WatchFilter(ResourceCache()).middleware()(request, answer)
        assert (response.content is before) is (query != {"watch": "true"})


def test_the_rest_of_a_body():
    """For all else a filtered body is the one that it filters."""
    assert FilteredStream(Body([]), bool).exception() == "as it is"
