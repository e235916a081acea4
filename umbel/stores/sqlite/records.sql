-- name: store
INSERT INTO results (id, state, final, life, expires, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (id) DO UPDATE
SET state = excluded.state, final = excluded.final, life = excluded.life, expires = excluded.expires,
    payload = excluded.payload
WHERE excluded.life > life OR (excluded.life = life AND NOT final) OR expires <= ?7;

-- name: load
SELECT id, state, payload, expires, life FROM results
WHERE id IN (SELECT value FROM json_each(?)) AND (expires IS NULL OR expires > ?);

-- name: forget
DELETE FROM results WHERE id = ?;

-- name: expire
DELETE FROM results WHERE number IN (SELECT number FROM results WHERE expires <= ? ORDER BY expires LIMIT ?);
