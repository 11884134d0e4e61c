-- A cart holds 100 lines of at most 9,999 pieces. With prices up to 10 million dollars its total stays below 10^15 minor
-- units: it fits a bigint, and JSON's doubles show it exactly. Rows of before are not looked at, so that no release fails.
ALTER TABLE products ADD CONSTRAINT products_price_minor_most CHECK (price_minor <= 1000000000) NOT VALID;
COMMENT ON COLUMN products.price_minor IS 'In minor units (cents) of currency; at most 1,000,000,000.';
