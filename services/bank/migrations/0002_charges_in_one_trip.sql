-- Charges of many keys in one round trip and one commit. A key that is new follows the behaviour of its narrowest scope, and
-- uses it up once; one that is there is counted and answered as it was decided. `drawn` is the state where no behaviour is set.
-- With HANG nothing is decided. Rows are taken in the order of their keys, so that no two calls can wait for each other in a
-- circle.
CREATE FUNCTION charge(keys text[], users bigint[], amounts bigint[], currencies text[], drawn text[], follow boolean)
    RETURNS TABLE (ord bigint, behaviour text, key text, state text, user_id bigint, amount_minor bigint, currency text,
        reference uuid) LANGUAGE plpgsql AS $$
DECLARE
    one record;
    scopes text[];
BEGIN
    IF follow THEN
        PERFORM 1 FROM (SELECT 1 FROM behaviours b
            WHERE b.times IS NOT NULL AND b.scope = ANY (
                SELECT unnest(ARRAY['checkout:' || i.key, 'user:' || i.buyer, 'all'])
                FROM unnest(keys, users) AS i (key, buyer))
            ORDER BY b.scope FOR UPDATE) AS locked;
    END IF;
    FOR one IN
        SELECT * FROM unnest(keys, users, amounts, currencies, drawn) WITH ORDINALITY
            AS i (key, buyer, amount, currency, drawn, n) ORDER BY i.key, i.n
    LOOP
        ord := one.n; behaviour := NULL; key := one.key;
        state := NULL; user_id := NULL; amount_minor := NULL; currency := NULL; reference := NULL;
        IF follow AND NOT EXISTS (SELECT 1 FROM transactions t WHERE t.key = one.key) THEN
            scopes := ARRAY['checkout:' || one.key, 'user:' || one.buyer, 'all'];
            SELECT b.behaviour INTO behaviour FROM behaviours b
                WHERE b.scope = ANY (scopes) AND (b.times IS NULL OR b.times > 0)
                ORDER BY array_position(scopes, b.scope) LIMIT 1;
            UPDATE behaviours b SET times = b.times - 1 WHERE b.times IS NOT NULL AND b.scope = (
                SELECT c.scope FROM behaviours c WHERE c.scope = ANY (scopes) AND (c.times IS NULL OR c.times > 0)
                ORDER BY array_position(scopes, c.scope) LIMIT 1);
        END IF;
        IF behaviour IS DISTINCT FROM 'HANG' THEN
            INSERT INTO transactions AS t (key, state, user_id, amount_minor, currency)
            VALUES (one.key, CASE behaviour WHEN 'APPROVE' THEN 'CAPTURED' WHEN 'CHARGE_AND_DROP' THEN 'CAPTURED'
                WHEN 'DECLINE' THEN 'DECLINED' ELSE one.drawn END, one.buyer, one.amount, one.currency)
            ON CONFLICT ON CONSTRAINT transactions_pkey DO UPDATE SET requests = t.requests + 1
            RETURNING t.state, t.user_id, t.amount_minor, t.currency, t.reference
            INTO state, user_id, amount_minor, currency, reference;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;
