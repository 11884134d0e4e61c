-- Looking for checkouts of any user. The indexes hold only checkouts that have ended, so that the steps of a saga do not write
-- to them; the running ones are few, and have checkout_running.

CREATE INDEX checkout_ended ON checkout_sessions (created_at, id) WHERE status <> 'PROCESSING';
CREATE INDEX checkout_failed ON checkout_sessions (created_at, id) WHERE status = 'FAILED';
CREATE INDEX checkout_failed_by_reason ON checkout_sessions (reason, created_at, id) WHERE status = 'FAILED';

-- By each of the names that a person may have of a checkout, beside its id.
CREATE INDEX checkout_by_key ON checkout_sessions (idempotency_key) WHERE status <> 'PROCESSING';
CREATE INDEX checkout_by_request ON checkout_sessions (request_id) WHERE status <> 'PROCESSING';
CREATE INDEX checkout_by_trace ON checkout_sessions (substr(traceparent, 4, 32)) WHERE status <> 'PROCESSING';
CREATE INDEX checkout_by_order ON checkout_sessions (order_id) WHERE status <> 'PROCESSING';
CREATE INDEX checkout_by_resource ON checkout_sessions ((origin_ref ->> 'name'))
    WHERE status <> 'PROCESSING' AND origin_ref IS NOT NULL;

CREATE INDEX outbox_of_checkout ON outbox_events (aggregate_id);
