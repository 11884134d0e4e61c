"""The bank over gRPC."""

import asyncio
from typing import Any

from services.bank.domain import Behaviour, Charge, Scope, Transaction
from services.bank.usecases import Bank, NoAnswer
from services.chassis import call
from services.errors import Invalid, OutcomeUnknown
from services.pb import bank_pb2 as pb
from services.pb import bank_pb2_grpc

SERVICE = "cartwright.bank.Bank"
ADMIN_SERVICE = "cartwright.bank.BankAdmin"
HANG_SECONDS = 60.0


class BankApi(bank_pb2_grpc.BankServicer):
    """Message ↔ domain."""

    def __init__(self, bank: Bank, stopping: asyncio.Event) -> None:
        self._bank = bank
        self._stopping = stopping

    async def Charge(self, request: pb.ChargeRequest, context: Any) -> pb.Transaction:
        """Charge once per key."""
        charge = Charge(request.key, request.user_id, request.amount_minor, request.currency)
        try:
            return _message(await self._bank.charge(charge))
        except NoAnswer:
            await self._no_answer()
            raise OutcomeUnknown("no answer") from None

    async def Get(self, request: pb.GetRequest, context: Any) -> pb.Transaction:
        """Return a transaction."""
        return _message(await self._bank.get(_key(request.key)))

    async def Cancel(self, request: pb.CancelRequest, context: Any) -> pb.Transaction:
        """Void a charge that is not captured."""
        return _message(await self._bank.cancel(_key(request.key)))

    async def _no_answer(self) -> None:
        """Wait until the caller has given up, or the process stops."""
        left = call.current().remaining()
        try:
            await asyncio.wait_for(self._stopping.wait(), HANG_SECONDS if left is None else max(0, left))
        except TimeoutError:
            return


class BankAdminApi(bank_pb2_grpc.BankAdminServicer):
    """Sets how the bank behaves."""

    def __init__(self, bank: Bank) -> None:
        self._bank = bank

    async def SetBehaviour(self, request: pb.SetBehaviourRequest, context: Any) -> pb.SetBehaviourResponse:
        """Set or reset the behaviour of a scope."""
        scope = _scope(request)
        try:
            name = pb.Behaviour.Name(request.behaviour)
        except ValueError as error:
            raise Invalid("there is no such behaviour") from error
        if name == "BEHAVIOUR_UNSPECIFIED":
            await self._bank.reset_behaviour(scope)
        else:
            await self._bank.set_behaviour(scope, Behaviour(name), request.times or None)
        return pb.SetBehaviourResponse()


def _scope(request: pb.SetBehaviourRequest) -> Scope:
    whom = request.WhichOneof("whom")
    if whom == "checkout_id":
        return Scope.checkout(_key(request.checkout_id))
    if whom == "user_id" and request.user_id > 0:
        return Scope.user(request.user_id)
    if whom == "everyone" and request.everyone:
        return Scope.everybody()
    raise Invalid("say whom: a positive user_id, a checkout_id, or everyone")


def _key(key: str) -> str:
    if not 1 <= len(key) <= 255 or not key.isprintable():  # noqa: PLR2004 - as every id
        raise Invalid("key must be 1 to 255 printable characters")
    return key


def _message(transaction: Transaction) -> pb.Transaction:
    return pb.Transaction(
        key=transaction.key,
        state=transaction.state.value,
        amount_minor=transaction.amount_minor,
        currency=transaction.currency,
        reference=transaction.reference,
    )
