-- Takes messages back that nobody was handed, and stores their records. Begins with record.lua.
-- ARGV: of each message its list or zset, its entry there and how many records there are; then of each record
-- key, side, state, payload, milliseconds, life. Gives 1 for each message that was there, 0 for others.
local told, at = {}, 1
while at <= #ARGV do
    local key, entry, last = ARGV[at], ARGV[at + 1], at + 2 + 6 * ARGV[at + 2]
    local olds = {}
    for i = at + 3, last, 6 do
        olds[i] = redis.call('GET', ARGV[i])
    end
    local parked = redis.call('TYPE', key).ok == 'zset'
    told[#told + 1] = parked and redis.call('ZREM', key, entry) or redis.call('LREM', key, 1, entry)
    if told[#told] == 1 then
        for i = at + 3, last, 6 do
            local lasting, life = tonumber(ARGV[i + 4]), tonumber(ARGV[i + 5])
            store(olds[i], ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], lasting, life)
        end
    end
    at = last + 1
end
return told
