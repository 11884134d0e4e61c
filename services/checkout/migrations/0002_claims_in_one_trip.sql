-- Claims of many carts in one round trip and one commit. In a function each statement sees what was committed before it
-- began, as the claim rule demands (docs/decisions/0004-the-claim-rule.md).

-- Lets nobody else claim the cart of `buyer` until the transaction ends, and notes which purchases are gone from it at
-- `seen`, a version of its document.
CREATE FUNCTION hold_cart(buyer bigint, seen bigint, bought uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(buyer);
    IF cardinality(bought) > 0 THEN
        UPDATE checkout_sessions SET cart_cleared_version = seen
            WHERE id = ANY (bought) AND cart_cleared_version IS NULL AND status = 'COMPLETED';
    END IF;
END $$;

-- A checkout of the same cart conflicts with a claim at `seen` unless it has failed, or its lines are known to be gone from
-- the cart at that version.
CREATE FUNCTION conflicting(buyer bigint, seen bigint) RETURNS SETOF checkout_sessions LANGUAGE sql STABLE AS $$
    SELECT * FROM checkout_sessions WHERE user_id = buyer AND source = 'cart' AND step <> 'ACCEPTED'
        AND status <> 'FAILED' AND (cart_cleared_version IS NULL OR cart_cleared_version > seen);
$$;

-- Inserts a checkout for each claim of a REST key, and gives those that were inserted. Nothing is inserted for a key that
-- exists, or where the cart is claimed. Carts are held in the order of their users, so that no two calls can wait for each
-- other in a circle.
CREATE FUNCTION claim_carts(claims jsonb, driver text, lease interval, timeout interval)
    RETURNS TABLE (ord bigint, id uuid, order_id uuid, created_at timestamptz, late boolean) LANGUAGE plpgsql AS $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT * FROM jsonb_to_recordset(claims) AS c (ord bigint, user_id bigint, key text, version bigint, bought uuid[],
            fingerprint text, steps jsonb, lines jsonb, total bigint, currency text, request_id text, traceparent text)
        ORDER BY c.user_id, c.ord
    LOOP
        PERFORM hold_cart(one.user_id, one.version, one.bought);
        INSERT INTO checkout_sessions AS s (user_id, origin, idempotency_key, fingerprint, source, step, steps, snapshot,
            cart_version, total_amount, currency, lease_owner, lease_until, request_id, traceparent, cancel_after)
        SELECT one.user_id, 'rest', one.key, decode(one.fingerprint, 'hex'), 'cart', 'CLAIMED', one.steps, one.lines,
            one.version, one.total, one.currency, driver, clock_timestamp() + lease, one.request_id, one.traceparent,
            clock_timestamp() + timeout
        WHERE NOT EXISTS (SELECT 1 FROM conflicting(one.user_id, one.version))
        ON CONFLICT DO NOTHING
        RETURNING s.id, s.order_id, s.created_at, s.cancel_after < clock_timestamp()
        INTO id, order_id, created_at, late;
        IF FOUND THEN
            ord := one.ord;
            RETURN NEXT;
        END IF;
    END LOOP;
END $$;

-- Brings accepted checkouts to CLAIMED, and gives those that were. The claim rule binds only a claim that has a version of
-- the cart: what a resource's own items buy is no unit of it.
CREATE FUNCTION claim_accepted(claims jsonb)
    RETURNS TABLE (ord bigint, version bigint, requested boolean, late boolean) LANGUAGE plpgsql AS $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT * FROM jsonb_to_recordset(claims) AS c (ord bigint, id uuid, epoch bigint, user_id bigint, version bigint,
            bought uuid[], steps jsonb, lines jsonb, total bigint, currency text)
        ORDER BY c.user_id, c.id, c.ord
    LOOP
        IF one.version IS NOT NULL THEN
            PERFORM hold_cart(one.user_id, one.version, one.bought);
        END IF;
        UPDATE checkout_sessions s SET step = 'CLAIMED', steps = one.steps, snapshot = one.lines,
            cart_version = one.version, total_amount = one.total, currency = one.currency, version = s.version + 1,
            changed_at = clock_timestamp(), attempts = 0, last_error = NULL
        WHERE s.id = one.id AND s.step = 'ACCEPTED' AND s.status = 'PROCESSING' AND s.lease_epoch = one.epoch
            AND (one.version IS NULL OR NOT EXISTS (SELECT 1 FROM conflicting(one.user_id, one.version)))
        RETURNING s.version, s.cancel_requested_at IS NOT NULL, s.cancel_after < clock_timestamp()
        INTO version, requested, late;
        IF FOUND THEN
            ord := one.ord;
            RETURN NEXT;
        END IF;
    END LOOP;
END $$;
