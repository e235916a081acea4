-- name: register
INSERT INTO nodes (name, pid, boot, heartbeat, started) VALUES (?, ?, ?, ?, ?);

-- name: beat
UPDATE nodes SET heartbeat = ? WHERE number = ?;

-- name: known
SELECT EXISTS (SELECT 1 FROM nodes WHERE number = ?);

-- name: all
SELECT number, boot, heartbeat FROM nodes;

-- name: strike_out
DELETE FROM nodes WHERE number = ?;

-- name: release
UPDATE messages SET claim = 1073741824, redelivered = 1 WHERE claim = ? AND claim <> 1073741824;

-- name: release_orphans
UPDATE messages SET claim = 1073741824, redelivered = 1
WHERE claim <> 1073741824 AND claim NOT IN (SELECT number FROM nodes);
