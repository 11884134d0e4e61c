-- reserve() took stock before heads, against the order of all others: with a release of the same checkout in flight the
-- two could wait for each other. Heads come first here too.
CREATE OR REPLACE FUNCTION reserve(wants jsonb, ttl interval)
    RETURNS TABLE (ord bigint, state text, product_id bigint, same boolean) LANGUAGE plpgsql AS $$
DECLARE
    want record;
    short bigint;
    fresh text[];
BEGIN
    WITH heads AS (
        INSERT INTO reservation AS r (checkout_id, state, lines, expires_at)
        SELECT DISTINCT ON (w.value->>'checkout_id') w.value->>'checkout_id', 'HELD', w.value->'lines', 'infinity'::timestamptz
        FROM jsonb_array_elements(wants) WITH ORDINALITY w ORDER BY w.value->>'checkout_id', w.ordinality
        ON CONFLICT DO NOTHING RETURNING r.checkout_id
    )
    SELECT coalesce(array_agg(checkout_id), '{}') INTO fresh FROM heads;
    PERFORM lock_stock(ARRAY(
        SELECT DISTINCT (l->>0)::bigint FROM jsonb_array_elements(wants) w, jsonb_array_elements(w->'lines') l
        WHERE cardinality(fresh) > 0));
    FOR want IN
        SELECT w.value->>'checkout_id' AS id, w.value->'lines' AS lines, w.ordinality AS n
        FROM jsonb_array_elements(wants) WITH ORDINALITY w ORDER BY 1, 3
    LOOP
        ord := want.n; product_id := 0; same := true; state := NULL;
        IF want.id <> ALL (fresh) THEN
            SELECT r.state, r.lines = want.lines OR r.lines = '[]' INTO state, same
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
            -- The clock is read after the locks; a repeat in this batch has no head any more and gets a new one.
            INSERT INTO reservation AS r (checkout_id, state, lines, expires_at)
                VALUES (want.id, 'HELD', want.lines, clock_timestamp() + ttl)
                ON CONFLICT (checkout_id) DO UPDATE SET expires_at = excluded.expires_at;
            UPDATE stock s SET available = s.available - (l->>1)::bigint, reserved = s.reserved + (l->>1)::bigint
                FROM jsonb_array_elements(want.lines) l WHERE s.product_id = (l->>0)::bigint;
            INSERT INTO reservation_line SELECT want.id, (l->>0)::bigint, (l->>1)::integer
                FROM jsonb_array_elements(want.lines) l;
            state := 'HELD';
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

-- Counts each delivery once, and gives the stock of each product, in order; nulls for a product that is not there, whose
-- delivery stays uncounted so that it can come again.
CREATE FUNCTION take_delivery(ids text[], products bigint[], quantities bigint[])
    RETURNS TABLE (ord bigint, product_id bigint, available bigint, reserved bigint, sold bigint) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_stock(products);
    WITH new AS (
        INSERT INTO restock AS r (restock_id, product_id, quantity)
        SELECT DISTINCT ON (i.id) i.id, i.product, i.quantity
        FROM unnest(ids, products, quantities) WITH ORDINALITY AS i (id, product, quantity, n)
        JOIN stock s ON s.product_id = i.product ORDER BY i.id, i.n
        ON CONFLICT DO NOTHING RETURNING r.product_id, r.quantity
    ), sums AS (
        SELECT new.product_id, sum(new.quantity) AS n FROM new GROUP BY 1
    )
    UPDATE stock s SET received = s.received + sums.n, available = s.available + sums.n
        FROM sums WHERE s.product_id = sums.product_id;
    RETURN QUERY SELECT i.n, i.product, s.available, s.reserved, s.sold
        FROM unnest(products) WITH ORDINALITY AS i (product, n) LEFT JOIN stock s ON s.product_id = i.product;
END $$;
