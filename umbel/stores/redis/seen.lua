-- Reads how far tasks are. KEYS: as those are called, without the dot and the id. ARGV: ids.
-- Gives of each seq, turn, final, parent, share, unix time of its end and payload of its note, and the counts of its
-- children done, failed and running; false for what is not there.
local seen = {}
for i, id in ipairs(ARGV) do
    seen[i] = redis.call('HMGET', KEYS[1] .. '.' .. id, 'seq', 'turn', 'final', 'parent', 'share', 'ends', 'payload', 'done',
        'failed', 'running')
end
return seen
