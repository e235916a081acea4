-- Looks for the messages of tasks in a list, from the right end, where they are handed out.
-- KEYS: the list. ARGV: how many at that end were looked at before, how many to look at now, ids.
-- Gives how many there were; then the number of each id found and how many stand before it.
local begin, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local wanted = {}
for i = 3, #ARGV do
    wanted[ARGV[i]] = i - 3
end

-- The id of the task whose message this is.
local function id_in(entry)
    local _, at = string.find(entry, '"correlation_id":', 1, true)
    return at and string.match(entry, '^ ?"([^"]*)"', at + 1)
end

local entries = redis.call('LRANGE', KEYS[1], -begin - most, -begin - 1)
local found = {#entries}
for i = #entries, 1, -1 do
    local number = wanted[id_in(entries[i]) or '']
    if number then
        found[#found + 1] = number
        found[#found + 1] = begin + #entries - i
    end
end
return found
