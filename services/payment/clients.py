"""The bank, behind the port Provider."""

from collections.abc import Awaitable, Callable
from typing import Any

from services.chassis import call
from services.chassis.client import Endpoint
from services.errors import OutcomeUnknown
from services.payment.domain import Payment, State
from services.pb import bank_pb2 as pb
from services.pb import bank_pb2_grpc

BANK_SECONDS = 1.8  # within the 2 s that a charge may take
MARGIN_SECONDS = 0.15  # kept to store the outcome, or to report that there is none
_STATES = {pb.CAPTURED: State.CAPTURED, pb.DECLINED: State.DECLINED, pb.CANCELLED: State.CANCELLED}


class BankClient:
    """Fits the port Provider."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._stub = bank_pb2_grpc.BankStub(endpoint.channel)

    async def charge(self, payment: Payment) -> tuple[State, str]:
        """Charge; an answer that does not echo the amount decides nothing."""
        request = pb.ChargeRequest(
            key=payment.checkout_id,
            user_id=payment.user_id,
            amount_minor=payment.amount_minor,
            currency=payment.currency,
            request_id=call.current().request_id,
        )
        reply = await self._ask(self._stub.Charge, request)
        echoed = (reply.amount_minor, reply.currency)
        if reply.state != pb.CANCELLED and echoed != (payment.amount_minor, payment.currency):
            raise OutcomeUnknown("the bank answers for another amount")
        return _outcome(reply, payment.checkout_id)

    async def cancel(self, checkout_id: str) -> tuple[State, str]:
        """Void what is not captured."""
        request = pb.CancelRequest(key=checkout_id, request_id=call.current().request_id)
        return _outcome(await self._ask(self._stub.Cancel, request), checkout_id)

    async def _ask(self, method: Callable[..., Awaitable[Any]], request: Any) -> pb.Transaction:
        left = call.current().remaining()
        within = BANK_SECONDS if left is None else min(BANK_SECONDS, left - MARGIN_SECONDS)
        reply: pb.Transaction = await self._endpoint.send(method, request, within=within)
        return reply


def _outcome(reply: pb.Transaction, checkout_id: str) -> tuple[State, str]:
    state = _STATES.get(reply.state)
    if reply.key != checkout_id or state is None:
        raise OutcomeUnknown("the bank answers for another charge, or with a state that is not known here")
    return state, reply.reference
