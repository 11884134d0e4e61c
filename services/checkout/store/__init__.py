"""Checkouts in PostgreSQL. Every change of a saga is one statement, fenced by its step and its lease's epoch.

One module for each thing that is kept: `sessions` are looked up, `claims` hold a cart, `requests` are what resources ask
for, `steps` move a saga on, `leases` say who drives it, `search` shows staff those of every user. `rows` has what all of them
share. `outbox` is what the relay reads.
"""

from services.checkout.store.claims import ClaimQueries
from services.checkout.store.leases import LeaseQueries
from services.checkout.store.requests import RequestQueries
from services.checkout.store.search import SearchQueries
from services.checkout.store.sessions import SessionQueries
from services.checkout.store.steps import StepQueries


class PostgresSessions(SessionQueries, ClaimQueries, RequestQueries, StepQueries, LeaseQueries, SearchQueries):
    """Fits the ports of the driver, the claims, the use cases, the followers, the recovery worker and staff."""
