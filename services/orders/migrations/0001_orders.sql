CREATE TABLE orders (
    id          uuid PRIMARY KEY,
    checkout_id text NOT NULL UNIQUE,
    user_id     bigint NOT NULL CHECK (user_id > 0),
    total_minor bigint NOT NULL CHECK (total_minor >= 0),
    currency    char(3) NOT NULL,
    status      text NOT NULL DEFAULT 'CONFIRMED',
    lines       jsonb NOT NULL,
    created_at  timestamptz NOT NULL
);
COMMENT ON TABLE orders IS
    'One order per completed checkout. The lines are the checkout''s snapshot, which never changes. Amounts in minor units.';
CREATE INDEX orders_newest ON orders (user_id, created_at DESC, id DESC);

GRANT SELECT, INSERT ON orders TO cartwright_orders;
