-- name: after
SELECT number, queue, priority, id, head, body, reason, died FROM dead
WHERE number > ? AND died > ? ORDER BY number LIMIT ?;

-- name: take
DELETE FROM dead WHERE number = ? RETURNING queue, priority;

-- name: drop
DELETE FROM dead WHERE number = ?;

-- name: any_expired
SELECT EXISTS (SELECT 1 FROM dead WHERE died <= ?);

-- name: expire
DELETE FROM dead WHERE number IN (SELECT number FROM dead WHERE died <= ? ORDER BY died LIMIT ?);

-- name: queues
SELECT DISTINCT queue FROM dead;

-- name: newest_too_many
SELECT number FROM dead WHERE queue = ? ORDER BY number DESC LIMIT 1 OFFSET ?;

-- name: shed
DELETE FROM dead WHERE number IN (SELECT number FROM dead WHERE queue = ? AND number <= ? ORDER BY number LIMIT ?);
