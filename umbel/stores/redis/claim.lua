-- Hands out messages: from the right ends of lists, the most urgent lists first, to what is unacked.
-- KEYS: unacked, unacked_index, claims; then for each queue its zset of what is parked, and its lists by urgency.
-- ARGV: how many, the beginning of tags, lease in seconds, bytes, queues, lists of each, the unix time by which parked
--   messages are due; then each queue's name as JSON.
-- A tag ends with the number of its list among those of its queue, and the number of the message in this claim.
-- Gives when the next parked message is due ('' for none); then, for each list of which there are some: the number of
-- the queue, that of the list, both from 0, how many, and these entries in order.
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local want, tag, lease, room = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local queues, steps, moment = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
-- A write that changes nothing: a server without memory then takes those that follow, and messages can leave it.
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', '(-inf')
local soonest = ''
for q = 0, queues - 1 do
    local base = 4 + q * (steps + 1)
    for _, parked in ipairs(redis.call('ZRANGEBYSCORE', KEYS[base], '-inf', moment, 'LIMIT', 0, want)) do
        redis.call('LPUSH', KEYS[base + 1 + tonumber(string.sub(parked, 1, 1))], string.sub(parked, 18))
        redis.call('ZREM', KEYS[base], parked)
    end
    local first = redis.call('ZRANGE', KEYS[base], 0, 0, 'WITHSCORES')
    if first[2] and (soonest == '' or tonumber(first[2]) < tonumber(soonest)) then
        soonest = first[2]
    end
end
local given = {soonest}
local got = 0

-- Claims up to that many from the right end of a list; gives how many there were.
local function take(list, q, step, most)
    local entries = redis.call('LRANGE', list, -most, -1)
    local held, index, claims = {}, {}, {}
    local header = #given
    for i = #entries, 1, -1 do
        local entry = entries[i]
        got = got + 1
        room = room - #entry
        local mine = string.format('%s%d:%05d', tag, step, got)
        held[#held + 1] = mine
        held[#held + 1] = '[' .. entry .. ',"",' .. ARGV[8 + q] .. ']'
        index[#index + 1] = now
        index[#index + 1] = mine
        claims[#claims + 1] = now + lease
        claims[#claims + 1] = mine
        given[header + 3 + #claims / 2] = entry
        if room <= 0 then
            break
        end
    end
    local taken = #claims / 2
    if taken > 0 then
        given[header + 1], given[header + 2], given[header + 3] = q, step, taken
        redis.call('HSET', KEYS[1], unpack(held))
        redis.call('ZADD', KEYS[2], unpack(index))
        redis.call('ZADD', KEYS[3], unpack(claims))
        redis.call('LTRIM', list, 0, -taken - 1)
    end
    return taken
end

for step = 0, steps - 1 do
    for q = 0, queues - 1 do
        -- One message first, which may be large, then more at a time if they are not: what is read is held twice.
        local most = 1
        while got < want and room > 0 do
            if take(KEYS[5 + q * (steps + 1) + step], q, step, math.min(most, want - got)) < most then
                break
            end
            most = math.min(4 * most, 32)
        end
    end
end
return given
