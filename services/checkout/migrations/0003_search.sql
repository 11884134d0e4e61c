-- Looking for checkouts of any user. The indexes hold only checkouts that have ended, so that the steps of a saga do not write
-- to them; the running ones are few, and have checkout_running.

CREATE INDEX checkout_ended ON checkout_sessions (created_at, id) WHERE status <> 'PROCESSING';
CREATE INDEX checkout_failed ON checkout_sessions (created_at, id) WHERE status = 'FAILED';
CREATE INDEX checkout_failed_by_reason ON checkout_sessions (reason, created_at, id) WHERE status = 'FAILED';

-- By any of the names that a person may have of a checkout: its key, request id, trace id, order id, or resource's name.
CREATE INDEX checkout_found_by ON checkout_sessions USING gin (
    (ARRAY[idempotency_key::text, request_id, substr(traceparent, 4, 32), order_id::text, origin_ref ->> 'name'])
) WHERE status <> 'PROCESSING';

CREATE INDEX outbox_of_checkout ON outbox_events (aggregate_id);
