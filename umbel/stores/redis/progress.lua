-- Writes notes of how far tasks are. KEYS: what tells which tasks have moved; with a dot and an id behind it, the key of
-- what is known of that task.
-- ARGV: of each note the id, seq, turn, whether it is final (0 or 1), parent ('' for none), share, unix time of its end, payload.
-- What an older turn says is left out. Those that have moved are published, each as its length, a space and the id.
local moved, told = {}, {}

local function tell(id)
    if not told[id] then
        told[id] = true
        moved[#moved + 1] = #id .. ' ' .. id
    end
end

local function keep(key, ends)
    local before = redis.call('HGET', key, 'keep')
    if not before or tonumber(before) < tonumber(ends) then
        redis.call('HSET', key, 'keep', ends)
        before = ends
    end
    redis.call('PEXPIREAT', key, string.format('%.0f', before * 1000))
end

local function count(id, share, difference, ends)
    local key = KEYS[1] .. '.' .. id
    if id ~= '' and share ~= '' and (difference > 0 or redis.call('EXISTS', key) == 1) then
        redis.call('HINCRBY', key, share, difference)
        keep(key, ends)
        tell(id)
    end
end

for at = 1, #ARGV, 8 do
    local id, seq, turn, final, parent, share, ends, payload = unpack(ARGV, at, at + 7)
    local key = KEYS[1] .. '.' .. id
    local was = redis.call('HMGET', key, 'turn', 'final', 'parent', 'share')
    local newer = tonumber(turn) - tonumber(was[1] or -1)
    if newer > 0 or (newer == 0 and final >= was[2]) then
        redis.call('HSET', key, 'seq', seq, 'turn', turn, 'final', final, 'parent', parent, 'share', share, 'ends', ends,
            'payload', payload)
        keep(key, ends)
        tell(id)
        if was[3] ~= parent or was[4] ~= share then
            count(was[3] or '', was[4] or '', -1, ends)
            count(parent, share, 1, ends)
        end
    end
end
if #moved > 0 then
    redis.call('PUBLISH', KEYS[1], table.concat(moved))
end
return #moved
