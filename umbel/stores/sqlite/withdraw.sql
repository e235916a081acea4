-- name: find
SELECT seq, id FROM messages WHERE id IN (SELECT value FROM json_each(?));

-- name: look
SELECT seq, id, head, body FROM messages WHERE seq = ? AND id = ? AND claim = 1073741824;

-- name: remove
DELETE FROM messages WHERE seq = ?;
