-- Opens or closes an inbox. KEYS: the bindings of answers, until when inboxes are open, the inbox.
-- ARGV: open or close, how answers find it, the unix time, for how many seconds at most it is open.
-- Those that were not closed in time are removed, with what is in them.
local function remove(member, inbox)
    redis.call('SREM', KEYS[1], member)
    redis.call('ZREM', KEYS[2], member .. '\0' .. inbox)
    redis.call('DEL', inbox)
end

for _, late in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[3])) do
    remove(string.match(late, '^(.*)%z(.*)$'))
end
if ARGV[1] == 'open' then
    redis.call('SADD', KEYS[1], ARGV[2])
    redis.call('ZADD', KEYS[2], ARGV[3] + ARGV[4], ARGV[2] .. '\0' .. KEYS[3])
else
    remove(ARGV[2], KEYS[3])
end
