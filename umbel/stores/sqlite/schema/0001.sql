-- The store's first layout.

-- claim: the number of the node that holds the message, or 1073741824 (2^30) for nobody. Nodes are numbered from
-- 16777217 (2^24 + 1), so that every value takes four bytes in a row: claiming overwrites the row where it stands, and
-- a body of megabytes is not written again.
-- due: unix time in seconds before which nobody is handed the message; NULL is at once.
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    priority INTEGER NOT NULL,
    claim INTEGER NOT NULL,
    redelivered INTEGER NOT NULL DEFAULT 0,
    due REAL,
    id TEXT NOT NULL,
    head BLOB NOT NULL,
    body BLOB NOT NULL
);

CREATE INDEX messages_ready ON messages (queue, priority DESC) WHERE claim = 1073741824 AND due IS NULL;

CREATE INDEX messages_waiting ON messages (queue, due) WHERE due IS NOT NULL;

CREATE INDEX messages_claimed ON messages (claim) WHERE claim <> 1073741824;

-- What nobody will run: the original bytes with the reason; died is a unix time in seconds.
CREATE TABLE dead (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL,
    priority INTEGER NOT NULL,
    id TEXT NOT NULL,
    head BLOB NOT NULL,
    body BLOB NOT NULL,
    reason TEXT NOT NULL,
    died REAL NOT NULL
);

CREATE INDEX dead_by_queue ON dead (queue);

-- expires: unix time in seconds, NULL is never.
CREATE TABLE results (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    final INTEGER NOT NULL,
    life INTEGER NOT NULL,
    expires REAL,
    payload BLOB NOT NULL
);

CREATE INDEX results_by_expiry ON results (expires) WHERE expires IS NOT NULL;

-- Processes that hold messages. heartbeat: seconds of the boot-time clock of the machine's run that boot names.
CREATE TABLE nodes (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    pid INTEGER NOT NULL,
    boot TEXT NOT NULL,
    heartbeat REAL NOT NULL,
    started REAL NOT NULL
);

INSERT INTO sqlite_sequence (name, seq) VALUES ('nodes', 16777216);
