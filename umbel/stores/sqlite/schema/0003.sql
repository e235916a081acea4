-- How far tasks are.

-- turn is -1 and payload empty where only children were told of. expires: a unix time in seconds. change: the number of
-- the write that touched the row last, above all that there ever were.
CREATE TABLE progress (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    change INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    final INTEGER NOT NULL,
    parent TEXT,
    share TEXT NOT NULL,
    done INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    running INTEGER NOT NULL DEFAULT 0,
    expires REAL NOT NULL,
    payload BLOB NOT NULL
);

CREATE INDEX progress_by_change ON progress (change);

CREATE INDEX progress_by_expiry ON progress (expires);

CREATE TABLE progress_changes (last INTEGER NOT NULL);

INSERT INTO progress_changes (last) VALUES (0);
