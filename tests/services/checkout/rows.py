"""Many checkouts at once, for what must stay fast in a large table."""

_FILL = """
INSERT INTO checkout.checkout_sessions (user_id, origin, idempotency_key, fingerprint, source, status, step, steps, reason,
    snapshot, total_amount, currency, request_id, traceparent, cancel_after, created_at, changed_at, completed_at,
    response_code)
SELECT 1 + n % greatest(10, $1 / 100), 'rest', 'key-' || n, ''::bytea, 'cart', status,
    CASE status WHEN 'PROCESSING' THEN 'PAYING' ELSE status END,
    jsonb_build_array(
        jsonb_build_object('name', 'claim', 'state', 'done', 'attempts', 1, 'started_at', made, 'finished_at', made),
        jsonb_build_object('name', 'reserve', 'state', 'done', 'attempts', 1, 'started_at', made,
            'finished_at', made + interval '0.01 s')),
    CASE WHEN status = 'FAILED' THEN (ARRAY['PaymentDeclined', 'OutOfStock', 'Cancelled'])[1 + n % 3] END,
    jsonb_build_array(jsonb_build_object('line_id', 'l' || n, 'product_id', 1 + n % 4, 'name', 'Thing',
        'unit_price_minor', 100 + n % 9000, 'quantity', 1)),
    100 + n % 9000, 'USD', 'req-' || n, '00-' || md5(n::text) || '-0123456789abcdef-00', made + interval '5 min', made, made,
    CASE WHEN status <> 'PROCESSING' THEN made + interval '0.05 s' END, CASE WHEN status <> 'PROCESSING' THEN 200 END
FROM (SELECT n, clock_timestamp() - n * (interval '2 days' / $1) AS made,
        CASE WHEN n <= 20 THEN 'PROCESSING' WHEN n % 20 = 0 THEN 'FAILED' ELSE 'COMPLETED' END AS status
    FROM generate_series(1, $1::bigint) AS n) AS made
ORDER BY n DESC
ON CONFLICT DO NOTHING"""


async def fill(connection, count):
    """Add `count` checkouts of the last two days: 20 that run, of the others a twentieth failed; with fresh statistics."""
    await connection.execute("SET search_path = checkout")
    await connection.execute(_FILL.replace("$1", str(count)))
    await connection.execute("ANALYZE checkout.checkout_sessions")
