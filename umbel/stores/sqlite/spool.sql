-- name: make
CREATE TABLE IF NOT EXISTS spool (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    route TEXT NOT NULL,
    form TEXT NOT NULL,
    id TEXT NOT NULL,
    head BLOB NOT NULL,
    body BLOB NOT NULL,
    doubtful INTEGER NOT NULL,
    refused TEXT
);

-- name: any
SELECT EXISTS (SELECT 1 FROM spool WHERE refused IS NULL);

-- name: count
SELECT count(*) FILTER (WHERE refused IS NULL), count(*) FILTER (WHERE refused IS NOT NULL) FROM spool;

-- name: add
INSERT INTO spool (route, form, id, head, body, doubtful) VALUES (?, ?, ?, ?, ?, ?);

-- name: first
SELECT number, route, form, id, head, body, doubtful FROM spool WHERE refused IS NULL ORDER BY number LIMIT ?;

-- name: doubt
UPDATE spool SET doubtful = 1 WHERE number = ?;

-- name: drop
DELETE FROM spool WHERE number = ?;

-- name: refuse
UPDATE spool SET refused = ? WHERE number = ?;
