-- Reads marks. KEYS: values by key, when each ends. ARGV: 'of' and keys: gives the value of each, false for none; or
-- 'under' and how keys begin: gives what the changes until now are numbered below, then key, value and end of each.
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local found = {}
if ARGV[1] == 'of' then
    for i = 2, #ARGV do
        local ends = redis.call('ZSCORE', KEYS[2], ARGV[i])
        found[i - 1] = ends and tonumber(ends) > now and redis.call('HGET', KEYS[1], ARGV[i])
    end
    return found
end
found[1] = clock[1] .. string.format('%06d', clock[2])
local marks = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. string.format('%.6f', now), 'inf', 'WITHSCORES')
for i = 1, #marks, 2 do
    if string.sub(marks[i], 1, #ARGV[2]) == ARGV[2] then
        found[#found + 1] = marks[i]
        found[#found + 1] = redis.call('HGET', KEYS[1], marks[i])
        found[#found + 1] = marks[i + 1]
    end
end
return found
