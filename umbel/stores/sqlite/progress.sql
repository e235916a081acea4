-- name: next_change
UPDATE progress_changes SET last = last + 1 RETURNING last;

-- name: last_change
SELECT last FROM progress_changes;

-- name: standing
SELECT turn, final, parent, share FROM progress WHERE id = ?;

-- name: write
INSERT INTO progress (id, change, seq, turn, final, parent, share, expires, payload)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
ON CONFLICT (id) DO UPDATE
SET change = excluded.change, seq = excluded.seq, turn = excluded.turn, final = excluded.final,
    parent = excluded.parent, share = excluded.share, expires = max(expires, excluded.expires),
    payload = excluded.payload;

-- name: count
INSERT INTO progress (id, change, seq, turn, final, parent, share, done, failed, running, expires, payload)
VALUES (?1, ?2, 0, -1, 0, NULL, '', max(?3, 0), max(?4, 0), max(?5, 0), ?6, x'')
ON CONFLICT (id) DO UPDATE
SET change = excluded.change, done = done + ?3, failed = failed + ?4, running = running + ?5,
    expires = max(expires, excluded.expires);

-- name: read
SELECT id, seq, payload, expires, turn, final, parent, share, done, failed, running FROM progress
WHERE id IN (SELECT value FROM json_each(?)) AND expires > ?;

-- name: since
SELECT id FROM progress WHERE change > ?;

-- name: any_expired
SELECT EXISTS (SELECT 1 FROM progress WHERE expires <= ?);

-- name: expire
DELETE FROM progress WHERE number IN (SELECT number FROM progress WHERE expires <= ? ORDER BY expires LIMIT ?);

-- name: waiting
SELECT id, queue, priority, seq FROM messages
WHERE claim = 1073741824 AND due IS NULL AND id IN (SELECT value FROM json_each(?));

-- name: before
SELECT count(*) FROM (
    SELECT 1 FROM messages WHERE queue = ?1 AND claim = 1073741824 AND due IS NULL
        AND (priority > ?2 OR (priority = ?2 AND seq < ?3)) LIMIT ?4
);
