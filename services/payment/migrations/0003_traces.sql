-- The span that asked for the charge. The resolver, which may charge again a day later, continues the purchase's trace from it.
ALTER TABLE payments ADD COLUMN traceparent text NOT NULL DEFAULT '';
COMMENT ON COLUMN payments.traceparent IS 'W3C traceparent of the request; empty where no traces are recorded.';
