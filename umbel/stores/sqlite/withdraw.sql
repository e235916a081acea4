-- name: find
SELECT seq, id FROM messages WHERE id IN (SELECT value FROM json_each(?));

-- name: remove
DELETE FROM messages WHERE seq = ? AND id = ? AND claim = 1073741824 RETURNING id, head, body;
