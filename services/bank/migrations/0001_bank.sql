CREATE TABLE transactions (
    key          text PRIMARY KEY,
    state        text NOT NULL CHECK (state IN ('CAPTURED', 'DECLINED', 'CANCELLED')),
    user_id      bigint NOT NULL,
    amount_minor bigint NOT NULL,
    currency     text NOT NULL,
    reference    uuid NOT NULL DEFAULT gen_random_uuid(),
    requests     integer NOT NULL DEFAULT 1,
    decided_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE transactions IS
    'The ledger: one row per key, decided once. requests counts how often it was asked for; more than one is a repeat.';

CREATE TABLE behaviours (
    scope     text PRIMARY KEY,
    behaviour text NOT NULL,
    times     integer
);
COMMENT ON TABLE behaviours IS 'What the bank was told: for a checkout, a user or all. times NULL: until told otherwise.';

GRANT SELECT, INSERT ON transactions TO cartwright_bank;
GRANT UPDATE (requests) ON transactions TO cartwright_bank;
GRANT SELECT, INSERT, UPDATE, DELETE ON behaviours TO cartwright_bank;
