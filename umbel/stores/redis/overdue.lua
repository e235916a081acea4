-- Claims whose lease is over, the newest first. KEYS: unacked, claims.
-- ARGV: how many, and bytes of them, at most; the unix time by which they were over, '' for now.
-- Gives the time; then tag and value of each, false for a value that somebody has taken.
local clock = redis.call('TIME')
local now = clock[1] .. '.' .. string.format('%06d', clock[2])
local room = tonumber(ARGV[2])
local found = {now}
local by = ARGV[3] == '' and now or ARGV[3]
for _, tag in ipairs(redis.call('ZREVRANGEBYSCORE', KEYS[2], by, '-inf', 'LIMIT', 0, ARGV[1])) do
    if room <= 0 then
        break
    end
    local value = redis.call('HGET', KEYS[1], tag)
    room = room - #(value or '')
    found[#found + 1] = tag
    found[#found + 1] = value
end
return found
