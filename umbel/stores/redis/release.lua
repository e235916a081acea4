-- Puts messages that wait for their time into their lists, where nobody reads the queue who would put them back.
-- KEYS: who reads the queue, what waits, its lists by urgency. ARGV: the unix time, then messages as they wait.
-- Gives how many went.
if redis.call('ZCOUNT', KEYS[1], ARGV[1], '+inf') > 0 then
    return 0
end
-- A write that changes nothing: a server without memory then takes those that follow.
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', '(-inf')
local moved = 0
for i = 2, #ARGV do
    local parked = ARGV[i]
    if redis.call('ZREM', KEYS[2], parked) == 1 then
        redis.call('LPUSH', KEYS[3 + tonumber(string.sub(parked, 1, 1))], string.sub(parked, 18))
        moved = moved + 1
    end
end
return moved
