-- name: get
SELECT value FROM marks WHERE key = ? AND (expires IS NULL OR expires > ?);

-- name: put
INSERT OR REPLACE INTO marks (key, value, expires) VALUES (?, ?, ?);

-- name: put_if_absent
INSERT OR IGNORE INTO marks (key, value, expires) VALUES (?, ?, ?);

-- name: clear
DELETE FROM marks WHERE key = ? AND expires <= ?;

-- name: drop
DELETE FROM marks WHERE key = ?;

-- name: expire
DELETE FROM marks WHERE seq IN (SELECT seq FROM marks WHERE expires <= ? ORDER BY expires LIMIT ?);

-- name: from_key
SELECT seq, key, value, expires FROM marks WHERE key >= ? AND (expires IS NULL OR expires > ?) ORDER BY key;

-- name: since
SELECT seq, key, value, expires FROM marks WHERE seq > ? AND (expires IS NULL OR expires > ?) ORDER BY seq;

-- name: any_expired
SELECT EXISTS (SELECT 1 FROM marks WHERE expires <= ?);
