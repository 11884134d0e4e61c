"""Programs that several processes want to bring into the cache at once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from devstack.fetch import CannotFetch, into

SECONDS = 30


@pytest.mark.parametrize("error", [None, CannotFetch("the network is away")], ids=["made", "failed"])
def test_who_comes_second_waits(tmp_path, error):
    """Who wants what another process is making says so and waits, uses what that one made, and makes it where that one failed."""
    target, said = tmp_path / "cache" / "program-1", []
    begun, waiting = threading.Event(), threading.Event()

    def first(folder):
        begun.set()
        assert waiting.wait(SECONDS)
        if error:
            raise error
        (folder / "program").write_text("first")

    def say(text):
        said.append(text)
        waiting.set()

    with ThreadPoolExecutor() as pool:
        making = pool.submit(into, target, first, print)
        assert begun.wait(SECONDS)
        into(target, lambda folder: (folder / "program").write_text("second"), say)
        assert making.exception() is error
    assert said == ["waiting for another process that makes program-1"]
    assert (target / "program").read_text() == ("second" if error else "first")
    assert [path.name for path in target.parent.iterdir() if path.is_dir()] == ["program-1"]
