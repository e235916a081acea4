-- Claims messages from where they wait. KEYS: unacked, unacked_index, claims; then what else is touched.
-- ARGV: lease in seconds, the queue's name as JSON; then of each message a tag, its list or zset, its entry there, and how
-- many bytes stand before it there. Gives 1 for each message that was there, 0 for others.
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local told = {}
for i = 3, #ARGV, 4 do
    local tag, key, entry, head = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3])
    local was_there = head > 0 and redis.call('ZREM', key, entry) or redis.call('LREM', key, 1, entry)
    told[#told + 1] = was_there
    if was_there == 1 then
        redis.call('HSET', KEYS[1], tag, '[' .. string.sub(entry, head + 1) .. ',"",' .. ARGV[2] .. ']')
        redis.call('ZADD', KEYS[2], now, tag)
        redis.call('ZADD', KEYS[3], now + ARGV[1], tag)
    end
end
return told
