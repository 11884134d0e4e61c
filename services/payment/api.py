"""Payments over gRPC."""

from datetime import datetime
from typing import Any

from services.chassis import tracing
from services.chassis.batched_request import batch
from services.payment.domain import ChargeRequest, Payment, PaymentRecord, checked, checked_id
from services.payment.usecases import PaymentProcessor
from services.pb import payment_pb2 as pb
from services.pb import payment_pb2_grpc

SERVICE = "cartwright.payment.PaymentService"


class PaymentApi(payment_pb2_grpc.PaymentServiceServicer):
    """Message ↔ domain."""

    def __init__(self, processor: PaymentProcessor) -> None:
        self._processor = processor

    async def Charge(self, request: pb.ChargeRequest, context: Any) -> pb.PaymentsResponse:
        """Charge, once per checkout."""
        results = await batch(
            request.items,
            parse=_request,
            act=self._processor.charge,
            render=_result,
            refused=pb.PaymentResult,
        )
        return pb.PaymentsResponse(results=results)

    async def Cancel(self, request: pb.CancelRequest, context: Any) -> pb.PaymentsResponse:
        """End payments that are not captured."""
        results = await batch(
            request.items,
            parse=lambda item: checked_id(item.checkout_id),
            act=self._processor.cancel,
            render=_result,
            refused=pb.PaymentResult,
        )
        return pb.PaymentsResponse(results=results)

    async def Get(self, request: pb.GetPaymentsRequest, context: Any) -> pb.GetPaymentsResponse:
        """Return payments as they are stored."""
        results = await batch(
            request.items,
            parse=lambda item: checked_id(item.checkout_id),
            act=self._processor.get,
            render=_record,
            refused=pb.GetPaymentResult,
        )
        return pb.GetPaymentsResponse(results=results)


def _request(item: pb.Charge) -> ChargeRequest:
    wait = item.wait_ms / 1000 or None
    traceparent = tracing.stored(item.call.traceparent)
    return checked(ChargeRequest(item.checkout_id, item.user_id, item.amount_minor, item.currency, wait, traceparent))


def _result(payment: Payment) -> pb.PaymentResult:
    return pb.PaymentResult(
        payment=pb.Payment(
            checkout_id=payment.checkout_id, state=payment.state.value, provider_ref=payment.provider_ref or ""
        )
    )


def _record(record: PaymentRecord) -> pb.GetPaymentResult:
    payment = record.payment
    return pb.GetPaymentResult(
        payment=pb.PaymentRecord(
            checkout_id=payment.checkout_id,
            state=payment.state.value,
            provider_ref=payment.provider_ref or "",
            amount_minor=payment.amount_minor,
            currency=payment.currency,
            attempts=record.attempts,
            created_at_ms=_ms(record.created_at),
            decided_at_ms=_ms(record.decided_at),
        )
    )


def _ms(when: datetime | None) -> int:
    return int(when.timestamp() * 1000) if when else 0
