-- Changes marks. KEYS: values by key, when each ends. ARGV: what to do, and
--   put, absent: key, value and unix time of its end ('inf' for none) of each; absent: only those that are not there
--   add: how much, when it ends, then keys
--   drop: keys
-- Gives the keys that were put; of add the new numbers, or 'not a number', key and value. Each change is published.
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local sequence = clock[1] .. string.format('%06d', clock[2])
local what = ARGV[1]

local function standing(key)
    local ends = redis.call('ZSCORE', KEYS[2], key)
    return ends and tonumber(ends) > now and redis.call('HGET', KEYS[1], key)
end

local function put(key, value, ends)
    redis.call('HSET', KEYS[1], key, value)
    redis.call('ZADD', KEYS[2], ends, key)
    redis.call('PUBLISH', KEYS[1], sequence .. ' ' .. ends .. ' ' .. #key .. ' ' .. key .. value)
end

local function drop(key)
    redis.call('HDEL', KEYS[1], key)
    redis.call('ZREM', KEYS[2], key)
end

-- A write that changes nothing: a server without memory then takes those that follow, and tasks can be settled.
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', '(-inf')
for _, old in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 100)) do
    drop(old)
end
local told = {}
if what == 'drop' then
    for i = 2, #ARGV do
        drop(ARGV[i])
    end
elseif what == 'add' then
    for i = 4, #ARGV do
        local value = standing(ARGV[i]) or '0'
        if not string.match(value, '^%-?%d+$') then
            return {'not a number', ARGV[i], value}
        end
        told[i - 3] = string.format('%d', value + ARGV[2])
    end
    for i = 4, #ARGV do
        put(ARGV[i], told[i - 3], ARGV[3])
    end
else
    for i = 2, #ARGV, 3 do
        if what == 'put' or not standing(ARGV[i]) then
            put(ARGV[i], ARGV[i + 1], ARGV[i + 2])
            told[#told + 1] = ARGV[i]
        end
    end
end
local last = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
for _, key in ipairs(KEYS) do
    if last == 'inf' then
        redis.call('PERSIST', key)
    elseif last then
        redis.call('PEXPIREAT', key, string.format('%.0f', last * 1000 + 1000))
    end
end
return told
