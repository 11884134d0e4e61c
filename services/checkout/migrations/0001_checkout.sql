CREATE TABLE checkout_sessions (
    id                   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id              bigint NOT NULL CHECK (user_id > 0),
    origin               text NOT NULL CHECK (origin IN ('rest', 'resource')),
    origin_ref           jsonb,
    idempotency_key      varchar(255) NOT NULL,
    fingerprint          bytea NOT NULL,
    source               text NOT NULL CHECK (source IN ('cart', 'items')),
    status               text NOT NULL DEFAULT 'PROCESSING' CHECK (status IN ('PROCESSING', 'COMPLETED', 'FAILED')),
    step                 text NOT NULL CHECK (step IN ('ACCEPTED', 'CLAIMED', 'RESERVED', 'PAYING', 'PAID',
                             'CANCELLING', 'RELEASING', 'COMPLETED', 'FAILED')),
    steps                jsonb NOT NULL DEFAULT '[]',
    reason               text,
    version              bigint NOT NULL DEFAULT 1,
    changed_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    snapshot             jsonb NOT NULL DEFAULT '[]',
    order_id             uuid NOT NULL DEFAULT gen_random_uuid(),
    cart_version         bigint,
    cart_cleared_version bigint,
    total_amount         bigint NOT NULL DEFAULT 0 CHECK (total_amount >= 0),
    currency             char(3) NOT NULL,
    lease_owner          text NOT NULL DEFAULT '',
    lease_epoch          bigint NOT NULL DEFAULT 1,
    lease_until          timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts             integer NOT NULL DEFAULT 0,
    next_attempt_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_error           text,
    response_code        integer,
    response_body        bytea,
    request_id           text NOT NULL DEFAULT '',
    traceparent          text NOT NULL DEFAULT '',
    cancel_after         timestamptz NOT NULL,
    cancel_requested_at  timestamptz,
    created_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    completed_at         timestamptz,
    UNIQUE (user_id, origin, idempotency_key),
    CHECK ((status = 'PROCESSING') = (completed_at IS NULL)),
    CHECK ((status = 'PROCESSING') = (step NOT IN ('COMPLETED', 'FAILED')))
);
COMMENT ON TABLE checkout_sessions IS
    'A checkout: the idempotency record, the saga''s state and the answer that is replayed for ever. Amounts in minor units.';
COMMENT ON COLUMN checkout_sessions.lease_epoch IS 'Grows with every driver; a write under an older one does nothing.';
COMMENT ON COLUMN checkout_sessions.cart_cleared_version IS
    'Every version of the cart document from this one on has the lines of this checkout removed.';

CREATE UNIQUE INDEX checkout_one_running_cart ON checkout_sessions (user_id)
    WHERE status = 'PROCESSING' AND source = 'cart' AND step <> 'ACCEPTED';
CREATE INDEX checkout_by_user ON checkout_sessions (user_id, created_at);
CREATE INDEX checkout_running ON checkout_sessions (next_attempt_at) WHERE status = 'PROCESSING';
CREATE INDEX checkout_in_cart ON checkout_sessions (user_id)
    WHERE source = 'cart' AND status = 'COMPLETED' AND cart_cleared_version IS NULL;
CREATE INDEX checkout_cleared ON checkout_sessions (user_id, cart_cleared_version) WHERE source = 'cart';
CREATE INDEX checkout_changed ON checkout_sessions (changed_at);

CREATE TABLE outbox_events (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id      uuid NOT NULL UNIQUE,
    event_type    text NOT NULL,
    aggregate_id  uuid NOT NULL,
    partition_key text NOT NULL,
    payload       jsonb NOT NULL,
    headers       jsonb NOT NULL DEFAULT '{}',
    attempts      integer NOT NULL DEFAULT 0,
    last_error    text,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    processed_at  timestamptz,
    dead_at       timestamptz
) WITH (autovacuum_vacuum_scale_factor = 0.01);
COMMENT ON TABLE outbox_events IS
    'Events written with the change they tell of. Read by state, never by "id above the last one seen": ids commit out of order.';
CREATE INDEX outbox_waiting ON outbox_events (id) WHERE processed_at IS NULL AND dead_at IS NULL;
CREATE INDEX outbox_done ON outbox_events (processed_at) WHERE processed_at IS NOT NULL;

CREATE TABLE outbox_leader (
    id    integer PRIMARY KEY CHECK (id = 1),
    owner text NOT NULL,
    epoch bigint NOT NULL,
    until timestamptz NOT NULL
);
COMMENT ON TABLE outbox_leader IS 'Which relay publishes, for as long as its lease runs.';
INSERT INTO outbox_leader (id, owner, epoch, until) VALUES (1, '', 0, '-infinity');

GRANT SELECT, INSERT, UPDATE ON checkout_sessions TO cartwright_checkout;
GRANT SELECT, INSERT, UPDATE, DELETE ON outbox_events TO cartwright_checkout;
GRANT SELECT, UPDATE ON outbox_leader TO cartwright_checkout;
