-- Puts overdue messages back where they are handed out next. KEYS: unacked, unacked_index, claims.
-- ARGV: tag, list and entry of each; '' for the list of one that is nowhere any more. Gives how many went back.
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local back = 0
-- A write that changes nothing: a server without memory then takes those that follow.
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', '(-inf')
for i = 1, #ARGV, 3 do
    local tag, list = ARGV[i], ARGV[i + 1]
    local score = redis.call('ZSCORE', KEYS[3], tag)
    if score and tonumber(score) <= now then
        if list ~= '' and redis.call('HEXISTS', KEYS[1], tag) == 1 then
            redis.call('RPUSH', list, ARGV[i + 2])
            back = back + 1
        end
        redis.call('HDEL', KEYS[1], tag)
        redis.call('ZREM', KEYS[2], tag)
        redis.call('ZREM', KEYS[3], tag)
    end
end
return back
