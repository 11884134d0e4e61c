"""Parts of the platform that are stopped, or run with other settings, for a while."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.platforms import Platform

READY_SECONDS = 60


@contextmanager
def away(platform: Platform, *parts: str) -> Iterator[None]:
    """Stop parts; start them again at the end, whatever happens, and wait until they are ready."""
    with ExitStack() as stack:
        for part in parts:
            stack.callback(_start, platform, part)
            platform.stack.stop(part)
        yield


@contextmanager
def with_settings(platform: Platform, part: str, **env: str) -> Iterator[None]:
    """Start a part again with settings of a test's own, and at the end with those it had."""
    try:
        platform.stack.stop(part)
        _start(platform, part, env)
        yield
    finally:
        platform.stack.stop(part)
        _start(platform, part, {})


def _start(platform: Platform, part: str, *env: dict[str, str]) -> None:
    platform.stack.start(part, *env)
    platform.stack.wait_ready(part, timeout=READY_SECONDS)
