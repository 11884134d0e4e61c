CREATE TABLE stock (
    product_id bigint PRIMARY KEY CHECK (product_id > 0),
    received   bigint NOT NULL CHECK (received >= 0),
    available  bigint NOT NULL CHECK (available >= 0),
    reserved   bigint NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    sold       bigint NOT NULL DEFAULT 0 CHECK (sold >= 0),
    CHECK (received = available + reserved + sold)
);
COMMENT ON TABLE stock IS 'Stock per product, in pieces. The last check is the invariant: nothing appears or vanishes.';

CREATE TABLE reservation (
    checkout_id text PRIMARY KEY,
    state       text NOT NULL CHECK (state IN ('HELD', 'PINNED', 'CONFIRMED', 'RELEASED', 'EXPIRED')),
    lines       jsonb NOT NULL,
    expires_at  timestamptz NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE reservation IS
    'What holds stock for a checkout. A RELEASED row without lines is a tombstone: it bars a reservation that comes late.';
CREATE INDEX reservation_expiring ON reservation (expires_at) WHERE state = 'HELD';

CREATE TABLE reservation_line (
    checkout_id text NOT NULL REFERENCES reservation,
    product_id  bigint NOT NULL REFERENCES stock,
    quantity    integer NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (checkout_id, product_id)
);

CREATE TABLE restock (
    restock_id text PRIMARY KEY,
    product_id bigint NOT NULL,
    quantity   bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Every function below takes all reservations in the order of their ids and then all stock in the order of products, so
-- that no two of them can wait for each other in a circle. It locks first and looks at the clock afterwards: a condition
-- on the time that is evaluated before a lock is waited for holds nothing.

CREATE FUNCTION lock_heads(ids text[]) RETURNS void LANGUAGE sql AS $$
    SELECT count(*) FROM (SELECT 1 FROM reservation WHERE checkout_id = ANY (ids) ORDER BY checkout_id FOR UPDATE) AS locked;
$$;

CREATE FUNCTION lock_stock(ids bigint[]) RETURNS void LANGUAGE sql AS $$
    SELECT count(*) FROM (SELECT 1 FROM stock WHERE product_id = ANY (ids) ORDER BY product_id FOR NO KEY UPDATE) AS locked;
$$;

-- $1: [{"checkout_id": …, "lines": [[product, quantity], …]}, …]; $2: how long to hold. Gives a row per wish, in order:
-- the state, the product that fell short, and whether the lines are those that were reserved before.
CREATE FUNCTION reserve(wants jsonb, ttl interval)
    RETURNS TABLE (ord bigint, state text, product_id bigint, same boolean) LANGUAGE plpgsql AS $$
DECLARE
    want record;
    short bigint;
    fresh boolean;
BEGIN
    PERFORM lock_stock(ARRAY(
        SELECT DISTINCT (l->>0)::bigint FROM jsonb_array_elements(wants) w, jsonb_array_elements(w->'lines') l));
    FOR want IN
        SELECT w.value->>'checkout_id' AS id, w.value->'lines' AS lines, w.ordinality AS n
        FROM jsonb_array_elements(wants) WITH ORDINALITY w ORDER BY 1
    LOOP
        ord := want.n; product_id := 0; same := true;
        INSERT INTO reservation AS r (checkout_id, state, lines, expires_at)
            VALUES (want.id, 'HELD', want.lines, clock_timestamp() + ttl) ON CONFLICT DO NOTHING;
        fresh := FOUND;
        IF NOT fresh THEN
            SELECT r.state, r.lines = want.lines OR r.lines = '[]' INTO state, same
                FROM reservation r WHERE r.checkout_id = want.id;
            RETURN NEXT;
            CONTINUE;
        END IF;
        SELECT (l->>0)::bigint INTO short FROM jsonb_array_elements(want.lines) l
            LEFT JOIN stock s ON s.product_id = (l->>0)::bigint
            WHERE s.available IS NULL OR s.available < (l->>1)::bigint ORDER BY 1 LIMIT 1;
        IF FOUND THEN
            DELETE FROM reservation r WHERE r.checkout_id = want.id;
            state := 'INSUFFICIENT'; product_id := short;
        ELSE
            UPDATE stock s SET available = s.available - (l->>1)::bigint, reserved = s.reserved + (l->>1)::bigint
                FROM jsonb_array_elements(want.lines) l WHERE s.product_id = (l->>0)::bigint;
            INSERT INTO reservation_line SELECT want.id, (l->>0)::bigint, (l->>1)::integer
                FROM jsonb_array_elements(want.lines) l;
            state := 'HELD';
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

CREATE FUNCTION pin(ids text[]) RETURNS TABLE (ord bigint, state text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_heads(ids);
    UPDATE reservation r SET state = 'PINNED', changed_at = clock_timestamp()
        WHERE r.checkout_id = ANY (ids) AND r.state = 'HELD' AND r.expires_at > clock_timestamp();
    RETURN QUERY SELECT i.ordinality,
        CASE WHEN r.state = 'HELD' THEN 'EXPIRED' ELSE coalesce(r.state, '') END
        FROM unnest(ids) WITH ORDINALITY AS i (id, ordinality) LEFT JOIN reservation r ON r.checkout_id = i.id;
END $$;

-- Moves the lines of reservations that are held or pinned out of `reserved`, to `sold` or back to `available`.
CREATE FUNCTION settle(ids text[], becomes text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_stock(ARRAY(SELECT DISTINCT l.product_id FROM reservation_line l WHERE l.checkout_id = ANY (ids)));
    WITH settled AS (
        UPDATE reservation r SET state = becomes, changed_at = clock_timestamp()
            WHERE r.checkout_id = ANY (ids) AND r.state IN ('HELD', 'PINNED') RETURNING r.checkout_id
    ), pieces AS (
        SELECT l.product_id, sum(l.quantity) AS n FROM reservation_line l JOIN settled USING (checkout_id) GROUP BY 1
    )
    UPDATE stock s SET reserved = s.reserved - p.n,
        sold = s.sold + CASE WHEN becomes = 'CONFIRMED' THEN p.n ELSE 0 END,
        available = s.available + CASE WHEN becomes = 'CONFIRMED' THEN 0 ELSE p.n END
        FROM pieces p WHERE s.product_id = p.product_id;
END $$;

-- No condition on the time: what was not expired by the sweeper before this lock is still held.
CREATE FUNCTION confirm(ids text[]) RETURNS TABLE (ord bigint, state text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_heads(ids);
    PERFORM settle(ids, 'CONFIRMED');
    RETURN QUERY SELECT i.ordinality, coalesce(r.state, '')
        FROM unnest(ids) WITH ORDINALITY AS i (id, ordinality) LEFT JOIN reservation r ON r.checkout_id = i.id;
END $$;

CREATE FUNCTION release(ids text[]) RETURNS TABLE (ord bigint, state text) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO reservation (checkout_id, state, lines, expires_at)
        SELECT DISTINCT id, 'RELEASED', '[]'::jsonb, clock_timestamp() FROM unnest(ids) AS id ORDER BY id
        ON CONFLICT DO NOTHING;
    PERFORM lock_heads(ids);
    PERFORM settle(ids, 'RELEASED');
    RETURN QUERY SELECT i.ordinality, r.state
        FROM unnest(ids) WITH ORDINALITY AS i (id, ordinality) JOIN reservation r ON r.checkout_id = i.id;
END $$;

CREATE FUNCTION expire(most integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    ids text[];
BEGIN
    ids := ARRAY(SELECT checkout_id FROM reservation WHERE state = 'HELD' AND expires_at <= clock_timestamp()
        ORDER BY checkout_id LIMIT most FOR UPDATE SKIP LOCKED);
    PERFORM settle(ids, 'EXPIRED');
    RETURN coalesce(array_length(ids, 1), 0);
END $$;

GRANT SELECT, UPDATE ON stock TO cartwright_inventory;
GRANT SELECT, INSERT, UPDATE, DELETE ON reservation TO cartwright_inventory;
GRANT SELECT, INSERT ON reservation_line, restock TO cartwright_inventory;
