"""The server's end of a simulated call: the real server guard around the real servicers, and what a handler knows of its call."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import grpc

from services.chassis.rpc import Guard
from services.chassis.served_streams import ServedStreams

_NO_METADATA = grpc.aio.Metadata()


def rpc_error(code: grpc.StatusCode, details: str = "") -> grpc.aio.AioRpcError:
    """Return the error of a call that ended so."""
    return grpc.aio.AioRpcError(code, _NO_METADATA, _NO_METADATA, details)


class Aborted(Exception):
    """How a handler ends a call with a status."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = code


class Context:
    """What a handler knows of its call."""

    __slots__ = ("_ends_at", "_loop", "_metadata")

    def __init__(self, loop: Any, metadata: Any, ends_at: float) -> None:
        self._loop = loop
        self._metadata = metadata
        self._ends_at = ends_at

    def invocation_metadata(self) -> Any:
        """Return what the caller sent along."""
        return self._metadata

    def time_remaining(self) -> float:
        """Return the seconds that the caller still waits."""
        return self._ends_at - self._loop.now

    async def abort(self, code: grpc.StatusCode, details: str = "") -> None:
        """End the call."""
        raise Aborted(code, details)


class Registry:
    """Takes the place of a gRPC server where servicers register."""

    def __init__(self, log: Any, metrics: Any) -> None:
        self._handlers: dict[str, Any] = {}
        self._guard = Guard(log, metrics, set(), self._handlers, ServedStreams())
        self._guarded: dict[str, tuple[Callable[..., Any], Callable[[Any], bytes]]] = {}

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Do nothing: the generated code registers twice."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        """Note the handlers of a service."""
        for name, handler in handlers.items():
            self._handlers[f"/{service}/{name}"] = handler

    def method(self, path: str) -> tuple[Callable[..., Any], Callable[[Any], bytes]]:
        """Return the handler of a path, guarded as the real server does it, and what encodes its reply."""
        found = self._guarded.get(path)
        if found is None:
            handler = self._handlers[path]

            async def continuation(_: Any) -> Any:
                return handler

            guarding = self._guard.intercept_service(continuation, SimpleNamespace(method=path))
            try:
                guarding.send(None)
            except StopIteration as ended:
                guarded = ended.value.unary_unary or ended.value.unary_stream
                found = self._guarded[path] = (guarded, handler.response_serializer)
        return found
