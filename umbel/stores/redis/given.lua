-- Gives the ends of the parts of a chord, if somebody was given them. KEYS: the ends, how the parts are nested, of what the body
-- is made. Gives what join.lua gives, or false.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then
    return false
end
local ends = redis.call(kind == 'list' and 'LRANGE' or 'ZRANGE', KEYS[1], 0, -1)
table.insert(ends, 1, redis.call('GET', KEYS[3]))
table.insert(ends, 1, redis.call('GET', KEYS[2]))
return ends
