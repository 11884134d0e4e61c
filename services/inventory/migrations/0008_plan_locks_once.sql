-- The same locks in the same order. PostgreSQL before 18 parses and plans a function in SQL at each call, and one in PL/pgSQL once a
-- session. Most reservations have no head to lock, since theirs are new.
CREATE OR REPLACE FUNCTION lock_heads(ids text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF cardinality(ids) > 0 THEN
        PERFORM 1 FROM reservation WHERE checkout_id = ANY (ids) ORDER BY checkout_id FOR UPDATE;
    END IF;
END $$;

CREATE OR REPLACE FUNCTION lock_stock(ids bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF cardinality(ids) > 0 THEN
        PERFORM 1 FROM stock WHERE product_id = ANY (ids) ORDER BY product_id FOR NO KEY UPDATE;
    END IF;
END $$;
