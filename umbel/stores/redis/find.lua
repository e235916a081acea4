-- Looks for messages. KEYS: a list or a zset. ARGV: where to begin, where to end, what must stand in an entry: one of these.
-- Gives how many there were to look at, and those found.
local parked = redis.call('TYPE', KEYS[1]).ok == 'zset'
local entries = redis.call(parked and 'ZREVRANGE' or 'LRANGE', KEYS[1], ARGV[1], ARGV[2])
local found = {#entries}
for _, entry in ipairs(entries) do
    for i = 3, #ARGV do
        if string.find(entry, ARGV[i], 1, true) then
            found[#found + 1] = entry
            break
        end
    end
end
return found
