"""The settings of traces. Their names are those of the OpenTelemetry specification, where it has one."""

from typing import Annotated, Literal

from pydantic import Field

from services.chassis.env import Seconds, Settings

Sampler = Literal["always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"]  # fmt: skip


class TracingSettings(Settings):
    """What decides whether this process records traces, which, and where they go.

    OpenTelemetry's exporter reads what else it knows by itself: headers, certificates, compression, timeouts
    (OTEL_EXPORTER_OTLP_…), and how often it sends (OTEL_BSP_…).
    """

    otel_exporter_otlp_endpoint: str = ""
    """The collector, such as http://collector:4318, by OTLP over HTTP. Without it nothing is recorded."""
    otel_exporter_otlp_traces_endpoint: str = ""
    """The whole URL for traces, where it is another one."""
    otel_exporter_otlp_protocol: Literal["http/protobuf"] = "http/protobuf"
    otel_exporter_otlp_traces_protocol: Literal["http/protobuf"] = "http/protobuf"
    otel_traces_exporter: Literal["otlp", "none"] = "otlp"
    otel_sdk_disabled: bool = False
    otel_traces_sampler: Sampler = "traceidratio"
    """How the gateway decides which requests are sampled. `parentbased_…` obeys the traceparent of a client, who can then have
    every request traced; choose it where all clients are your own. The other services obey the gateway."""
    otel_traces_sampler_arg: Annotated[float, Field(ge=0, le=1)] = 0.01
    """The share of requests that is sampled, from 0 to 1."""
    otel_bsp_max_queue_size: Annotated[int, Field(ge=1)] = 2048
    """Spans that wait to be sent. What does not fit is dropped, and counted."""
    otel_bsp_max_export_batch_size: Annotated[int, Field(ge=1)] = 512
    trace_slow: Seconds = 1.0
    """What takes longer is traced also where it is not sampled."""

    @property
    def is_on(self) -> bool:
        """Whether traces are recorded."""
        endpoint = self.otel_exporter_otlp_traces_endpoint or self.otel_exporter_otlp_endpoint
        return bool(endpoint) and self.otel_traces_exporter == "otlp" and not self.otel_sdk_disabled

    @property
    def ratio(self) -> float:
        """The share of requests that is sampled."""
        if self.otel_traces_sampler.endswith("always_on"):
            return 1.0
        return 0.0 if self.otel_traces_sampler.endswith("always_off") else self.otel_traces_sampler_arg

    @property
    def obeys_client(self) -> bool:
        """Whether the traceparent of a client decides."""
        return self.otel_traces_sampler.startswith("parentbased")
