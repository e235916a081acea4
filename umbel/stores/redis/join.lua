-- Keeps the end of a part of a chord. KEYS: the ends (a zset by place, or a list), how many there are to be, how many more,
-- the ends once they were given to somebody, to whom, how the parts are nested, of what the body is made, and the desk (a zset by
-- the time from which anybody may send the body). ARGV: place ('+inf' for none), from where, from 0, the
-- end tells whose it is, and how, the end, the id of the part, for how many milliseconds all of it is kept (0 is for ever), of what
-- the body is made ('' for unknown), the id of the group, for how many milliseconds it is seen to ('' where it need not stand at a desk).
-- Gives how they are nested and of what the body is made (false for not at all) and the ends in order if this is the last, or the
-- one that was given them before; else false.
local place, from, whose, ending, id, lasting = ARGV[1], ARGV[2] + 1, ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local link, group, claim = ARGV[7], ARGV[8], ARGV[9]

local function last(key)
    if lasting > 0 then
        redis.call('PEXPIRE', key, lasting)
    else
        redis.call('PERSIST', key)
    end
end

-- Whether another end is of this part.
local function mine(other)
    return string.sub(other, from, from + #whose - 1) == whose
end

-- Puts this end in the place of an earlier one; gives how many there are.
local function put(key)
    if redis.call('TYPE', key).ok == 'list' then
        for _, other in ipairs(redis.call('LRANGE', key, 0, -1)) do
            if mine(other) then
                redis.call('LREM', key, 1, other)
            end
        end
        redis.call('RPUSH', key, ending)
        last(key)
        return redis.call('LLEN', key)
    end
    for _, other in ipairs(redis.call('ZRANGEBYSCORE', key, place, place)) do
        if mine(other) then
            redis.call('ZREM', key, other)
        end
    end
    redis.call('ZADD', key, place, ending)
    last(key)
    return redis.call('ZCARD', key)
end

local function all(key)
    local ends = redis.call(redis.call('TYPE', key).ok == 'list' and 'LRANGE' or 'ZRANGE', key, 0, -1)
    table.insert(ends, 1, redis.call('GET', KEYS[7]))
    table.insert(ends, 1, redis.call('GET', KEYS[6]))
    return ends
end

local function stand()
    if claim ~= '' then
        local time = redis.call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        redis.call('ZADD', KEYS[8], now + claim, group)
        last(KEYS[8])
    end
end

local given = redis.call('GET', KEYS[5])
if given and given ~= id then
    return false
end
local count = put(given and KEYS[4] or KEYS[1])
if link ~= '' then
    redis.call('SET', KEYS[7], link)
end
last(KEYS[7])
if not given then
    local wanted = redis.call('GET', KEYS[2])
    if not wanted or count < wanted + (redis.call('GET', KEYS[3]) or 0) then
        last(KEYS[2])
        last(KEYS[3])
        return false
    end
    redis.call('RENAME', KEYS[1], KEYS[4])
    redis.call('DEL', KEYS[2], KEYS[3])
    redis.call('SET', KEYS[5], id)
    last(KEYS[5])
end
stand()
return all(KEYS[4])
