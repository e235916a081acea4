-- name: publish
INSERT INTO messages (queue, priority, claim, due, id, head, body) VALUES (?, ?, 1073741824, ?, ?, ?, ?);

-- name: size
SELECT (SELECT count(*) FROM messages WHERE queue = :queue AND claim = 1073741824 AND due IS NULL)
    + (SELECT count(*) FROM messages WHERE queue = :queue AND due IS NOT NULL);

-- name: queues
SELECT queue, sum(ready), sum(delayed), sum(claimed) FROM (
    SELECT queue, count(*) AS ready, 0 AS delayed, 0 AS claimed
    FROM messages WHERE claim = 1073741824 AND due IS NULL GROUP BY queue
    UNION ALL SELECT queue, 0, count(*), 0 FROM messages WHERE due IS NOT NULL GROUP BY queue
    UNION ALL SELECT queue, 0, 0, count(*) FROM messages WHERE claim <> 1073741824 GROUP BY queue
)
GROUP BY queue ORDER BY queue;

-- name: purge
DELETE FROM messages WHERE queue = ? AND claim = 1073741824;

-- name: any_ready
SELECT EXISTS (SELECT 1 FROM messages WHERE queue = ? AND claim = 1073741824 AND due IS NULL);

-- name: next_due
SELECT min(due) FROM messages WHERE queue = ? AND due IS NOT NULL;

-- name: promote
UPDATE messages SET due = NULL
WHERE seq IN (SELECT seq FROM messages WHERE queue = ? AND due <= ? ORDER BY due LIMIT ?);

-- name: ready
SELECT seq, id, priority, redelivered, head, body FROM messages
WHERE queue = ? AND claim = 1073741824 AND due IS NULL ORDER BY priority DESC, seq LIMIT ?;

-- name: claim
UPDATE messages SET claim = ? WHERE seq = ?;

-- name: standing
SELECT seq FROM messages WHERE claim = ? AND claim <> 1073741824;

-- name: acknowledge
DELETE FROM messages WHERE seq = ?;

-- name: requeue
UPDATE messages SET claim = 1073741824, redelivered = 1 WHERE seq = ?;

-- name: return
UPDATE messages SET claim = 1073741824 WHERE seq = ?;

-- name: put_off
UPDATE messages SET claim = 1073741824, due = ? WHERE seq = ?;

-- name: bury
INSERT INTO dead (queue, priority, id, head, body, reason, died)
SELECT queue, priority, id, head, body, ?, ? FROM messages WHERE seq = ?;

-- name: give_back
UPDATE messages SET claim = 1073741824 WHERE claim = ? AND claim <> 1073741824;
