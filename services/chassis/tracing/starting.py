"""Begins and ends the recording of traces in a process."""

from collections.abc import Callable, Mapping

from services.chassis import tracing
from services.chassis.logs import Logger
from services.chassis.telemetry import Metrics
from services.chassis.tracing.recorder import Recorder
from services.chassis.tracing.settings import TracingSettings


def start(service: str, role: str, env: Mapping[str, str], log: Logger, metrics: Metrics) -> Callable[[], None]:
    """Record traces from now on if `env` names a collector. Returns what ends it. BadSettings: a setting is wrong."""
    settings = TracingSettings.from_env(env)
    if not settings.is_on:
        return _nothing
    from services.chassis.tracing.export import Exporting  # noqa: PLC0415 - the import costs 0.3 s and 12 MB

    name = service if role == "serve" else f"{service}-{role}"
    exporting = Exporting(env.get("OTEL_SERVICE_NAME") or name, settings, log, metrics)
    recorder = Recorder(
        exporting, ratio=settings.ratio, slow_seconds=settings.trace_slow, obeys_client=settings.obeys_client
    )
    tracing.use(recorder)
    log.info("tracing", ratio=settings.ratio, slow_seconds=settings.trace_slow)

    def end() -> None:
        tracing.use(None)
        exporting.close()

    return end


def _nothing() -> None:
    """End nothing: nothing was begun."""
