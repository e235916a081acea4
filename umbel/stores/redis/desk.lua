-- Says which groups at a desk are seen to. KEYS: the desk. ARGV: for how many milliseconds from now, how many to find at most, the
-- groups. Without groups, finds those that nobody sees to, and gives them.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local groups = {unpack(ARGV, 3)}
if #groups == 0 then
    groups = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])
end
for _, group in ipairs(groups) do
    redis.call('ZADD', KEYS[1], 'XX', now + ARGV[1], group)
end
return groups
