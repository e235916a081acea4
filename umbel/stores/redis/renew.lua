-- Renews claims, and says that queues are read. KEYS: unacked, unacked_index, claims; then who reads each queue.
-- ARGV: lease in seconds; who reads them, the unix time, and for how many seconds; then tags.
-- Gives the places, from 0, of those that stand no more.
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
-- A write that changes nothing: a server without memory then takes those that follow.
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', '(-inf')
for i = 4, #KEYS do
    redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', ARGV[3])
    redis.call('ZADD', KEYS[i], ARGV[3] + ARGV[4], ARGV[2])
    redis.call('EXPIRE', KEYS[i], ARGV[4])
end
local gone = {}
for i = 5, #ARGV do
    if redis.call('ZSCORE', KEYS[3], ARGV[i]) and redis.call('HEXISTS', KEYS[1], ARGV[i]) == 1 then
        redis.call('ZADD', KEYS[3], now + ARGV[1], ARGV[i])
        redis.call('ZADD', KEYS[2], now, ARGV[i])
    else
        redis.call('ZREM', KEYS[3], ARGV[i])
        gone[#gone + 1] = i - 5
    end
end
return gone
