-- The span that asked for a reservation which may expire: the sweeper, which takes it back later, continues the purchase's trace.
-- What is pinned at once never expires, so it keeps none.
ALTER TABLE reservation ADD COLUMN traceparent text NOT NULL DEFAULT '';
COMMENT ON COLUMN reservation.traceparent IS
    'W3C traceparent of the request; empty where no traces are recorded, or where the reservation was pinned at once.';

-- As before, with the traceparent.
CREATE OR REPLACE FUNCTION reserve(wants jsonb, ttl interval)
    RETURNS TABLE (ord bigint, state text, product_id bigint, same boolean) LANGUAGE plpgsql AS $$
DECLARE
    want record;
    short bigint;
    fresh text[];
    new boolean;
BEGIN
    WITH heads AS (
        INSERT INTO reservation AS r (checkout_id, state, lines, expires_at, traceparent)
        SELECT DISTINCT ON (w.value->>'checkout_id') w.value->>'checkout_id',
            CASE WHEN (w.value->>'pin')::boolean THEN 'PINNED' ELSE 'HELD' END, w.value->'lines', 'infinity'::timestamptz,
            CASE WHEN (w.value->>'pin')::boolean THEN '' ELSE coalesce(w.value->>'traceparent', '') END
        FROM jsonb_array_elements(wants) WITH ORDINALITY w ORDER BY w.value->>'checkout_id', w.ordinality
        ON CONFLICT DO NOTHING RETURNING r.checkout_id
    )
    SELECT coalesce(array_agg(checkout_id), '{}') INTO fresh FROM heads;
    -- Heads before stock, as everywhere: those that are there already may be pinned below.
    PERFORM lock_heads(ARRAY(SELECT w->>'checkout_id' FROM jsonb_array_elements(wants) w
        WHERE (w->>'pin')::boolean AND w->>'checkout_id' <> ALL (fresh)));
    PERFORM lock_stock(ARRAY(
        SELECT DISTINCT (l->>0)::bigint FROM jsonb_array_elements(wants) w, jsonb_array_elements(w->'lines') l
        WHERE cardinality(fresh) > 0));
    FOR want IN
        SELECT w.value->>'checkout_id' AS id, w.value->'lines' AS lines,
            coalesce((w.value->>'pin')::boolean, false) AS pin, coalesce(w.value->>'traceparent', '') AS traceparent,
            w.ordinality AS n
        FROM jsonb_array_elements(wants) WITH ORDINALITY w ORDER BY 1, 5
    LOOP
        ord := want.n; product_id := 0; same := true; state := NULL;
        new := want.id = ANY (fresh);
        IF NOT new THEN
            IF want.pin THEN
                UPDATE reservation r SET state = 'PINNED', changed_at = clock_timestamp()
                    WHERE r.checkout_id = want.id AND r.state = 'HELD' AND r.expires_at > clock_timestamp()
                    AND r.lines = want.lines;
            END IF;
            SELECT CASE WHEN want.pin AND r.state = 'HELD' AND r.lines = want.lines THEN 'EXPIRED' ELSE r.state END,
                r.lines = want.lines OR r.lines = '[]' INTO state, same
                FROM reservation r WHERE r.checkout_id = want.id;
            IF FOUND THEN
                RETURN NEXT;
                CONTINUE;
            END IF;
            -- Only a repeat within this batch, of what has just fallen short, comes here; it meets the same stock below.
            same := true;
        END IF;
        fresh := array_remove(fresh, want.id);
        SELECT (l->>0)::bigint INTO short FROM jsonb_array_elements(want.lines) l
            LEFT JOIN stock s ON s.product_id = (l->>0)::bigint
            WHERE s.available IS NULL OR s.available < (l->>1)::bigint ORDER BY 1 LIMIT 1;
        IF FOUND THEN
            DELETE FROM reservation r WHERE r.checkout_id = want.id;
            state := 'INSUFFICIENT'; product_id := short;
        ELSE
            state := CASE WHEN want.pin THEN 'PINNED' ELSE 'HELD' END;
            IF NOT (new AND want.pin) THEN
                -- The clock is read after the locks; a repeat in this batch has no head any more and gets a new one.
                INSERT INTO reservation AS r (checkout_id, state, lines, expires_at, traceparent)
                    VALUES (want.id, reserve.state, want.lines, clock_timestamp() + ttl,
                        CASE WHEN want.pin THEN '' ELSE want.traceparent END)
                    ON CONFLICT (checkout_id) DO UPDATE SET state = excluded.state, expires_at = excluded.expires_at;
            END IF;
            UPDATE stock s SET available = s.available - (l->>1)::bigint, reserved = s.reserved + (l->>1)::bigint
                FROM jsonb_array_elements(want.lines) l WHERE s.product_id = (l->>0)::bigint;
            INSERT INTO reservation_line SELECT want.id, (l->>0)::bigint, (l->>1)::integer
                FROM jsonb_array_elements(want.lines) l;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

-- Takes back what has expired, as expire() does, which the version before still calls, and says what it was.
CREATE FUNCTION take_back_expired(most integer) RETURNS TABLE (checkout_id text, traceparent text) LANGUAGE plpgsql AS $$
DECLARE
    ids text[];
BEGIN
    ids := ARRAY(SELECT r.checkout_id FROM reservation r WHERE r.state = 'HELD' AND r.expires_at <= clock_timestamp()
        ORDER BY r.checkout_id LIMIT most FOR UPDATE SKIP LOCKED);
    PERFORM settle(ids, 'EXPIRED');
    RETURN QUERY SELECT r.checkout_id, r.traceparent FROM reservation r WHERE r.checkout_id = ANY (ids) ORDER BY 1;
END $$;
