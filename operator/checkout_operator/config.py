"""The operator's settings, each a variable of its environment."""

import os
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class BadSettings(ValueError):
    """A setting is wrong. `str()` names each variable, one a line."""


class Config(BaseSettings):
    """The operator's settings. Each field is named after its variable."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    checkout_addr: str = "127.0.0.1:50056"
    namespace: str = "default"
    """The one namespace that the operator watches, and that it creates mirrors in."""
    sharding: Literal["Off", "Leases"] = "Off"
    """`Leases`: this operator is one of several that share the work, each with a Lease of its own. `Off`: it does all."""
    member_name: str = Field("operator", min_length=1)
    """The name of this operator's Lease: that of its pod, which no other has. It counts with `Leases`, as the next two do."""
    member_group: str = Field("cartwright-operator", pattern=r"^[a-zA-Z0-9]([-._a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$")
    """Whose replicas share the work. It is a label of their Leases."""
    lease_namespace: str = "default"
    """Where the Leases are."""
    listen_host: str = "0.0.0.0"
    http_port: int = Field(9060, ge=0, le=65535)
    """Health and metrics."""
    log_level: str = "info"
    compare_every: float = Field(15.0, gt=0)
    """Seconds between full comparisons with the checkout service."""
    relist_every: float = Field(60.0, ge=10)
    """Seconds between checks that the watch reports everything. Below 10 the watch may only be late."""
    mirror_mode: Literal["All", "Failures", "None"] = "All"
    mirror_max_writes_per_second: float = Field(100.0, gt=0)
    mirror_min_writes_per_second: float = Field(10.0, gt=0)
    mirror_max_objects: int = Field(1500, ge=0)
    mirror_success_ttl: float = Field(30.0, ge=0)
    """Seconds that the mirror of a completed checkout stays."""
    mirror_failure_ttl: float = Field(86_400.0, ge=0)
    mirror_max_failures: int = Field(200, ge=0)
    """The most mirrors of failed checkouts that stay; the newest do."""


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
