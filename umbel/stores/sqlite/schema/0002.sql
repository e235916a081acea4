-- Marks, and what ends dead letters by themselves.

-- Small facts; expires is a unix time in seconds, NULL is never. Every write of a mark gives it a seq above all that
-- there ever were, so that whoever has seen one finds what was written after it.
CREATE TABLE marks (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    value TEXT NOT NULL,
    expires REAL
);

CREATE INDEX marks_by_expiry ON marks (expires) WHERE expires IS NOT NULL;

CREATE INDEX dead_by_death ON dead (died);
