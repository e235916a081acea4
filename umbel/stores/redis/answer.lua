-- Puts an answer into an inbox, if it is open. KEYS: the bindings of answers, the inbox.
-- ARGV: how answers find it, the answer, for how many seconds it is kept.
if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 0 then
    return 0
end
redis.call('LPUSH', KEYS[2], ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[3])
return 1
