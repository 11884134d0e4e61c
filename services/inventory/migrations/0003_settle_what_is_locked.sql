-- A head that was committed after the locks were taken used to be settled all the same, and so locked after the stock:
-- against the order, and a deadlock under load. Only heads that are locked first are settled.
CREATE FUNCTION lock_held(ids text[]) RETURNS text[] LANGUAGE plpgsql AS $$
BEGIN
    RETURN ARRAY(SELECT checkout_id FROM reservation WHERE checkout_id = ANY (ids) AND state IN ('HELD', 'PINNED')
        ORDER BY checkout_id FOR UPDATE);
END $$;

CREATE OR REPLACE FUNCTION confirm(ids text[]) RETURNS TABLE (ord bigint, state text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM settle(lock_held(ids), 'CONFIRMED');
    RETURN QUERY SELECT i.ordinality, coalesce(r.state, '')
        FROM unnest(ids) WITH ORDINALITY AS i (id, ordinality) LEFT JOIN reservation r ON r.checkout_id = i.id;
END $$;

CREATE OR REPLACE FUNCTION release(ids text[]) RETURNS TABLE (ord bigint, state text) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO reservation (checkout_id, state, lines, expires_at)
        SELECT DISTINCT id, 'RELEASED', '[]'::jsonb, clock_timestamp() FROM unnest(ids) AS id ORDER BY id
        ON CONFLICT DO NOTHING;
    PERFORM settle(lock_held(ids), 'RELEASED');
    RETURN QUERY SELECT i.ordinality, r.state
        FROM unnest(ids) WITH ORDINALITY AS i (id, ordinality) JOIN reservation r ON r.checkout_id = i.id;
END $$;
