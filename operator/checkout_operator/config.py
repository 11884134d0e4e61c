"""The operator's settings, each a variable of its environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from checkout_operator.scope import ORIGIN, Scope
from checkout_operator.selectors import LabelSelector

Namespace = Annotated[str, StringConstraints(pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]

Sampler = Literal["always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"]  # fmt: skip


class BadSettings(ValueError):
    """A setting is wrong. `str()` names each variable, one a line."""


@dataclass(frozen=True, slots=True)
class Release:
    """An installation of the platform: one checkout service, and any number of operators."""

    name: str
    """What no other release of the cluster is called."""
    role: str
    """The name of the Role in each namespace, or of the ClusterRole where all are watched."""


class Config(BaseSettings):
    """The operator's settings. Each field is named after its variable."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    checkout_addr: str = "127.0.0.1:50056"
    namespace: Namespace = "default"
    """The operator's own namespace."""
    watch_namespaces: Annotated[tuple[Namespace, ...], NoDecode] = ()
    """The namespaces whose Checkouts are worked on, with commas between; the operator's own where none is named."""
    watch_all_namespaces: bool = False
    """Whether the Checkouts of all namespaces are worked on. Then WATCH_NAMESPACES names none."""
    watch_selector: Annotated[LabelSelector, NoDecode] = LabelSelector()
    """Which of them are worked on, by their labels: a LabelSelector in JSON. Without requirements all are."""
    mirror_namespace: Namespace | None = None
    """The namespace that mirrors are created in; None: the operator's own."""
    release: str | None = None
    """Who the namespaces are claimed for, so that no other release watches them; None: nobody claims them."""
    release_role: str = "cartwright-operator"
    """The Role in each namespace that is watched, or the ClusterRole for all of them. The claims are deleted with it."""
    sharding: Literal["Off", "Leases"] = "Off"
    """`Leases`: this operator is one of several that share the work, each with a Lease of its own. `Off`: it does all."""
    member_name: str = Field("operator", min_length=1)
    """The name of this operator's Lease: that of its pod, which no other has. It counts with `Leases`, as the next two do."""
    member_group: str = Field("cartwright-operator", pattern=r"^[a-zA-Z0-9]([-._a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$")
    """Whose replicas share the work. It is a label of their Leases."""
    member_pod_uid: str | None = None
    """The uid of this operator's pod, with which its Lease is deleted; None: it runs in no pod."""
    lease_namespace: str = "default"
    """Where the Leases are. The pod is there too."""
    listen_host: str = "0.0.0.0"
    http_port: int = Field(9060, ge=0, le=65535)
    """Health and metrics."""
    log_level: str = "info"
    otel_exporter_otlp_endpoint: str = ""
    """The collector of traces, such as http://collector:4318, by OTLP over HTTP. Without it nothing is recorded."""
    otel_exporter_otlp_traces_endpoint: str = ""
    otel_exporter_otlp_protocol: Literal["http/protobuf"] = "http/protobuf"
    otel_traces_exporter: Literal["otlp", "none"] = "otlp"
    otel_sdk_disabled: bool = False
    otel_traces_sampler: Sampler = "traceidratio"
    otel_traces_sampler_arg: float = Field(0.01, ge=0, le=1)
    """The share of the checkouts of resources that is sampled. Those of REST are sampled by the gateway."""
    otel_bsp_max_queue_size: int = Field(2048, ge=1)
    """Spans that wait to be sent. What does not fit is dropped, and counted."""
    compare_every: float = Field(15.0, gt=0)
    """Seconds between full comparisons with the checkout service; more where one takes long."""
    relist_every: float = Field(60.0, ge=10)
    """Seconds between checks that the watch reports everything. Below 10 the watch may only be late."""
    mirror_mode: Literal["All", "Failures", "None"] = "All"
    mirror_max_writes_per_second: float = Field(100.0, gt=0)
    mirror_min_writes_per_second: float = Field(3.0, gt=0)
    mirror_max_objects: int = Field(1500, ge=0)
    mirror_success_ttl: float = Field(30.0, ge=0)
    """Seconds that the mirror of a completed checkout stays."""
    mirror_failure_ttl: float = Field(86_400.0, ge=0)
    mirror_max_failures: int = Field(200, ge=0)
    """The most mirrors of failed checkouts that stay; the newest do."""

    @field_validator("watch_namespaces", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("watch_all_namespaces")
    @classmethod
    def _is_one_way(cls, value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic's signature
        if value and info.data.get("watch_namespaces"):
            raise ValueError("WATCH_NAMESPACES names some: say one of the two")
        return value

    @field_validator("watch_selector", mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        return LabelSelector.model_validate_json(value) if isinstance(value, str) else value

    @field_validator("watch_selector")
    @classmethod
    def _fits_mirrors(cls, value: LabelSelector) -> LabelSelector:
        if value.labels(ORIGIN) is None:
            raise ValueError(f"no mirror can have the labels {value} beside its own, {ORIGIN}")
        return value

    @property
    def traces(self) -> bool:
        """Whether traces are recorded."""
        endpoint = self.otel_exporter_otlp_traces_endpoint or self.otel_exporter_otlp_endpoint
        return bool(endpoint) and self.otel_traces_exporter == "otlp" and not self.otel_sdk_disabled

    @property
    def trace_ratio(self) -> float:
        """The share of the checkouts of resources that is sampled."""
        if self.otel_traces_sampler.endswith("always_on"):
            return 1.0
        return 0.0 if self.otel_traces_sampler.endswith("always_off") else self.otel_traces_sampler_arg

    def scope(self) -> Scope:
        """Return what is watched."""
        named = None if self.watch_all_namespaces else frozenset(self.watch_namespaces or (self.namespace,))
        return Scope(named, self.mirror_namespace or self.namespace, self.watch_selector)

    def claimant(self) -> Release | None:
        """Return who claims what is watched; None where nobody does."""
        return None if self.release is None else Release(self.release, self.release_role)


def process_environment() -> Mapping[str, str]:
    """Return the environment of this process."""
    return os.environ  # noqa: TID251 - the one place in the operator


def read() -> Config:
    """Read the settings. Raises BadSettings, which names every variable that is wrong."""
    try:
        return Config()
    except ValidationError as error:
        lines = [f"{str(one['loc'][0]).upper()}: {one['msg']}" for one in error.errors()]
        raise BadSettings("\n".join(lines)) from error
