CREATE TABLE payments (
    checkout_id  text PRIMARY KEY,
    user_id      bigint NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
    currency     text NOT NULL,
    state        text NOT NULL CHECK (state IN ('INTENT', 'CAPTURED', 'DECLINED', 'CANCELLED')),
    provider_ref text NOT NULL DEFAULT '',
    attempts     integer NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_attempt_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    decided_at   timestamptz
);
COMMENT ON TABLE payments IS
    'One payment per checkout, in minor units. A CANCELLED row of amount 0 is a tombstone: it bars a charge that comes late.';
CREATE INDEX payments_open ON payments (next_attempt_at) WHERE state = 'INTENT';

CREATE TABLE payment_events (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    checkout_id text NOT NULL,
    state       text NOT NULL,
    at          timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE payment_events IS 'Every state that a payment took; nothing here is changed or deleted.';

GRANT SELECT, INSERT, UPDATE ON payments TO cartwright_payment;
GRANT SELECT, INSERT ON payment_events TO cartwright_payment;
