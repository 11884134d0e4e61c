"""The machine-readable code of every error that a client of the REST API can get.

A client branches on the code and shows the text: the text may change in any release, a code and its meaning never do. A new
kind of error gets a new code. docs/api.md has the table, which a test holds against this module.
"""

from enum import StrEnum


class ErrorCode(StrEnum):
    """The `code` beside `error`. A fault carries it from the service that raises it to the gateway."""

    # 400
    INVALID_REQUEST = "invalid_request"
    MALFORMED_HTTP = "malformed_http"
    BODY_INVALID = "body_invalid"
    FIELD_UNKNOWN = "field_unknown"
    FIELD_REPEATED = "field_repeated"
    FIELD_REQUIRED = "field_required"
    FIELD_INVALID = "field_invalid"
    PARAMETER_UNKNOWN = "parameter_unknown"
    PARAMETER_REPEATED = "parameter_repeated"
    PARAMETER_INVALID = "parameter_invalid"
    HEADER_REPEATED = "header_repeated"
    USER_ID_INVALID = "user_id_invalid"
    PRODUCT_ID_INVALID = "product_id_invalid"
    ORDER_ID_INVALID = "order_id_invalid"
    QUANTITY_INVALID = "quantity_invalid"
    CART_LINE_FULL = "cart_line_full"
    CART_FULL = "cart_full"
    CART_EMPTY = "cart_empty"
    IDEMPOTENCY_KEY_REQUIRED = "idempotency_key_required"
    IDEMPOTENCY_KEY_INVALID = "idempotency_key_invalid"
    IDEMPOTENCY_KEY_MISMATCH = "idempotency_key_mismatch"
    # 401
    TOKEN_REQUIRED = "token_required"  # noqa: S105 - a name, no secret
    TOKEN_EXPIRED = "token_expired"  # noqa: S105
    TOKEN_INVALID = "token_invalid"  # noqa: S105
    TOKEN_USER_INVALID = "token_user_invalid"  # noqa: S105
    # 404 and 405
    NOT_FOUND = "not_found"
    ROUTE_NOT_FOUND = "route_not_found"
    PRODUCT_NOT_FOUND = "product_not_found"
    CART_ITEM_NOT_FOUND = "cart_item_not_found"
    CHECKOUT_NOT_FOUND = "checkout_not_found"
    ORDER_NOT_FOUND = "order_not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    # 409
    CONFLICT = "conflict"
    CHECKOUT_RUNNING = "checkout_running"
    PRODUCTS_UNAVAILABLE = "products_unavailable"
    # 408, 413 to 417, 431, 499: the request itself cannot be read
    BODY_TIMEOUT = "body_timeout"
    BODY_TOO_LARGE = "body_too_large"
    URL_TOO_LONG = "url_too_long"
    CONTENT_ENCODING_UNSUPPORTED = "content_encoding_unsupported"
    EXPECTATION_UNSUPPORTED = "expectation_unsupported"
    HEADERS_TOO_LARGE = "headers_too_large"
    CLIENT_GONE = "client_gone"
    # 500
    INTERNAL_ERROR = "internal_error"
    # 503
    SERVICE_UNAVAILABLE = "service_unavailable"
    OVERLOADED = "overloaded"
    OUTCOME_UNKNOWN = "outcome_unknown"
    TOKEN_CHECK_UNAVAILABLE = "token_check_unavailable"  # noqa: S105


def code_named(name: str) -> ErrorCode | None:
    """Return the code of this name, or None if this release does not know it: a newer service may have sent it."""
    return _BY_NAME.get(name)


_BY_NAME = {code.value: code for code in ErrorCode}
