-- The auditor reads these columns and nothing else. Its role is the same for every schema, and the database of the bank may be
-- on the same server, so that another migration may have made it just now.
DO $$ BEGIN
    CREATE ROLE cartwright_auditor NOLOGIN;
    ALTER ROLE cartwright_auditor SET default_transaction_read_only = on;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$ BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT cartwright_auditor TO %I', current_user);
    END IF;
END $$;
GRANT USAGE ON SCHEMA checkout TO cartwright_auditor;
GRANT SELECT (id, user_id, source, status, version, total_amount, currency, order_id, snapshot, completed_at, cart_version,
    cart_cleared_version, changed_at) ON checkout_sessions TO cartwright_auditor;
GRANT SELECT (id, event_id, aggregate_id, payload, created_at, processed_at, dead_at) ON outbox_events TO cartwright_auditor;
