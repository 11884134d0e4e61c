"""The settings of the auditor. Every store is optional: a book whose store is not named is not compared, and is said to be."""

from typing import Annotated

from pydantic import Field

from services.chassis.brokers import KafkaSettings
from services.chassis.env import Port, Seconds


class Config(KafkaSettings):
    """Every variable of this service."""

    http_port: Port = 9059
    postgres_url: str = ""
    bank_postgres_url: str = ""
    mongodb_url: str = ""
    redis_url: str = ""
    kafka_bootstrap_servers: str = ""
    checkout_topic: str = "checkout-events"
    kubeconfig: str = ""
    """Where the API server is, outside of a cluster; its user needs a token."""
    audit_namespaces: str = ""
    """The namespaces whose Checkouts are compared, with commas between; `*` for all. Empty: none is."""
    audit_every: Seconds = 10.0
    """How long it rests between two rounds."""
    audit_after: Seconds = 30.0
    """How old a difference must be before it counts: what is under way agrees by then."""
    audit_full_every: Seconds = 20.0
    """How long it rests, at least, between the end of one pass over whole books and the beginning of the next."""
    audit_share: Annotated[float, Field(gt=0, le=1)] = 0.05
    """The share of the time that it spends at most on passes over whole books, on the sums of the stock and on the list of
    resources: the longer one takes, the longer is the rest after it."""
    audit_page: Annotated[int, Field(ge=1, le=10_000)] = 500
    """How many rows it reads at once."""
    audit_command: str = ""
    """The command that shows the story of a checkout, with `{checkout_id}` in it, for the log. Empty: the log names none."""

    @property
    def namespaces(self) -> list[str]:
        """The namespaces of `audit_namespaces`."""
        return [one.strip() for one in self.audit_namespaces.split(",") if one.strip()]
