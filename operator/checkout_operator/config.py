"""The operator's settings, each a variable of its environment."""

import os
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class BadSettings(ValueError):
    """The environment does not hold what the operator needs; `str()` names each variable."""


class Config(BaseSettings):
    """Every variable of the operator; a field is its variable's name."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    checkout_addr: str = "127.0.0.1:50056"
    namespace: str = "default"
    """The namespace that is watched, and that mirrors are made in."""
    listen_host: str = "0.0.0.0"
    http_port: int = Field(9060, ge=0, le=65535)
    """Health and metrics."""
    log_level: str = "info"
    compare_every: float = Field(15.0, gt=0)
    """Seconds between full comparisons with the checkout service."""
    relist_every: float = Field(60.0, ge=10)
    """Seconds between looks at whether the watch has told of everything that is there; sooner, it may only be late."""
    mirror_mode: Literal["All", "Failures", "None"] = "All"
    mirror_max_writes_per_second: float = Field(100.0, gt=0)
    mirror_max_objects: int = Field(1500, ge=0)
    mirror_success_ttl: float = Field(30.0, ge=0)
    """How many seconds the mirror of a completed checkout stays."""
    mirror_failure_ttl: float = Field(86_400.0, ge=0)
    mirror_max_failures: int = Field(200, ge=0)
    """How many mirrors of failed checkouts stay at most; the newest."""


def process_environment() -> Mapping[str, str]:
    """Give the environment of this process."""
    return os.environ  # noqa: TID251 - this is the operator's one place


def read() -> Config:
    """Read the settings; BadSettings names every variable that is wrong."""
    try:
        return Config()
    except ValidationError as error:
        lines = [f"{str(one['loc'][0]).upper()}: {one['msg']}" for one in error.errors()]
        raise BadSettings("\n".join(lines)) from error
