CREATE TABLE products (
    id          bigint PRIMARY KEY CHECK (id > 0),
    name        text NOT NULL,
    description text NOT NULL,
    price_minor bigint NOT NULL CHECK (price_minor > 0),
    currency    char(3) NOT NULL,
    image_url   text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE products IS 'The catalogue. price_minor is in minor units (cents) of currency.';

INSERT INTO products (id, name, description, price_minor, currency, image_url) VALUES
    (1, 'Laptop',     'High-performance laptop',       129999, 'USD', 'http://example.com/laptop.jpg'),
    (2, 'Mouse',      'Wireless mouse',                  2999, 'USD', 'http://example.com/mouse.jpg'),
    (3, 'Keyboard',   'Mechanical keyboard',             8999, 'USD', 'http://example.com/keyboard.jpg'),
    (4, 'Monitor',    '27-inch 4K monitor',             39999, 'USD', 'http://example.com/monitor.jpg'),
    (5, 'Headphones', 'Noise-cancelling headphones',    19999, 'USD', 'http://example.com/headphones.jpg');

GRANT SELECT ON products TO cartwright_product;
