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
GRANT USAGE ON SCHEMA payment TO cartwright_auditor;
GRANT SELECT (checkout_id, user_id, amount_minor, currency, state, created_at, decided_at) ON payments TO cartwright_auditor;
