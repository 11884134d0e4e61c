-- The auditor finds the checkout that a resource must show by what the resource asks for, since anybody may write its status. It reads
-- the keys of resources alone, which stand in their manifests; those of shoppers are no book.
CREATE VIEW started_by_resources AS
    SELECT id, user_id AS buyer, idempotency_key AS key, coalesce(origin_ref ->> 'uid', '') AS uid
    FROM checkout_sessions WHERE origin = 'resource';
GRANT SELECT ON started_by_resources TO cartwright_auditor;
