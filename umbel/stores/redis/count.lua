-- How many each of these keys holds. KEYS: lists and zsets. ARGV: 'drop' to remove them, too.
local counts = {}
for i, key in ipairs(KEYS) do
    counts[i] = redis.call(redis.call('TYPE', key).ok == 'zset' and 'ZCARD' or 'LLEN', key)
end
if ARGV[1] == 'drop' then
    redis.call('DEL', unpack(KEYS))
end
return counts
