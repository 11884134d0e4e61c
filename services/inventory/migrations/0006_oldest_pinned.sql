-- The sweeper asks every few seconds how old the oldest pinned reservation is. Few are pinned at a time, so the index stays small
-- however many were ever made; without it the whole table was read.
CREATE INDEX reservation_pinned ON reservation (changed_at) WHERE state = 'PINNED';
