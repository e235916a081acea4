-- Settles deliveries whose claims still stand, and does what takes their place.
-- KEYS: unacked, unacked_index, claims. ARGV: how many leave nothing behind, and their tags; then of each other delivery
-- its tag ('' for what comes from none, '-' for what comes from none and must not wait), how many things to do, and these:
--   L list entry | R list entry: at its end, or where it is handed out next
--   Z zset score member: parked
--   P reads now zset score member list: parked if somebody reads the queue who knows how, else in the list
--   D letters numbers own queue letter most seconds: a dead letter; own is how keys of one queue's numbers begin
--   S key side state payload milliseconds life: a record
-- Begins with record.lua. Gives how many stood; then tag, key and what was wrong of each that could not be settled: it stands as before.
local function bury(letters, numbers, own, queue, letter, most, seconds)
    local clock = redis.call('TIME')
    local count, number = 0, nil
    repeat
        number = clock[1] .. string.format('%06d%03d', clock[2], count)
        count = count + 1
    until redis.call('HSETNX', letters, number, letter) == 1
    redis.call('ZADD', numbers, 0, number .. ':' .. queue)
    redis.call('ZADD', own .. queue, 0, number .. ':' .. queue)
    local gone = redis.call('ZRANGE', own .. queue, 0, -most - 1)
    if seconds > 0 then
        local oldest = string.format('(%010d', math.max(0, clock[1] - seconds))
        for _, old in ipairs(redis.call('ZRANGEBYLEX', numbers, '-', oldest, 'LIMIT', 0, 1000)) do
            gone[#gone + 1] = old
        end
    end
    for _, old in ipairs(gone) do
        redis.call('HDEL', letters, string.sub(old, 1, 19))
        redis.call('ZREM', numbers, old)
        redis.call('ZREM', own .. string.sub(old, 21), old)
    end
    if seconds > 0 then
        for _, key in ipairs({letters, numbers, own .. queue}) do
            redis.call('PEXPIRE', key, math.ceil(seconds * 1000))
        end
    end
end

local function park(zset, score, member)
    local first = redis.call('ZRANGE', zset, 0, 0, 'WITHSCORES')[2]
    redis.call('ZADD', zset, score, member)
    if not first or tonumber(score) < tonumber(first) then
        redis.call('PUBLISH', zset, score)
    end
end

-- What is wrong with a key that should be of that type.
local function misfit(key, wanted)
    local is = redis.call('TYPE', key).ok
    return is ~= wanted and is ~= 'none' and {key, 'is a ' .. is .. ' and should be a ' .. wanted}
end

local olds = {}
-- Of each thing: how many arguments it has; what would be wrong with doing it, after which it cannot fail; doing it. Both
-- are told their place.
local things = {
    L = {2, function(at) return misfit(ARGV[at], 'list') end, function(at)
        redis.call('LPUSH', ARGV[at], ARGV[at + 1])
    end},
    R = {2, function(at) return misfit(ARGV[at], 'list') end, function(at)
        redis.call('RPUSH', ARGV[at], ARGV[at + 1])
    end},
    Z = {3, function(at) return misfit(ARGV[at], 'zset') end, function(at)
        park(ARGV[at], ARGV[at + 1], ARGV[at + 2])
    end},
    P = {6, function(at)
        return misfit(ARGV[at], 'zset') or misfit(ARGV[at + 2], 'zset') or misfit(ARGV[at + 5], 'list')
    end, function(at)
        if redis.call('ZCOUNT', ARGV[at], ARGV[at + 1], '+inf') > 0 then
            park(ARGV[at + 2], ARGV[at + 3], ARGV[at + 4])
        else
            redis.call('LPUSH', ARGV[at + 5], string.sub(ARGV[at + 4], 18))
        end
    end},
    D = {7, function(at)
        return misfit(ARGV[at], 'hash') or misfit(ARGV[at + 1], 'zset') or misfit(ARGV[at + 2] .. ARGV[at + 3], 'zset')
    end, function(at)
        local most, seconds = tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6])
        bury(ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], most, seconds)
    end},
    S = {6, function(at)
        local old = redis.pcall('GET', ARGV[at])
        olds[at] = old
        return type(old) == 'table' and (misfit(ARGV[at], 'string') or {ARGV[at], old.err})
    end, function(at)
        store(olds[at], ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]))
    end},
}

local count = tonumber(ARGV[1])
if count > 0 or ARGV[2] ~= '' then
    -- A write that changes nothing: a server without memory then takes those that follow, and messages can leave it.
    redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', '(-inf')
end
local at, told = 2, {0}
while count > 0 do
    local some = math.min(count, 1000)
    local tags = {unpack(ARGV, at, at + some - 1)}
    redis.call('HDEL', KEYS[1], unpack(tags))
    redis.call('ZREM', KEYS[2], unpack(tags))
    told[1] = told[1] + redis.call('ZREM', KEYS[3], unpack(tags))
    at, count = at + some, count - some
end
-- Whether the claim stood, which it does no more.
local function let_go(tag)
    local held = redis.call('HDEL', KEYS[1], tag) == 1
    redis.call('ZREM', KEYS[2], tag)
    return redis.call('ZREM', KEYS[3], tag) == 1 and held
end

while at <= #ARGV do
    local tag, number, start = ARGV[at], tonumber(ARGV[at + 1]), at + 2
    local wrong
    at = start
    for _ = 1, number do
        wrong = wrong or things[ARGV[at]][2](at + 1)
        at = at + 1 + things[ARGV[at]][1]
    end
    local free = tag == '' or tag == '-'
    if wrong and (free or (redis.call('ZSCORE', KEYS[3], tag) and redis.call('HEXISTS', KEYS[1], tag) == 1)) then
        told[#told + 1], told[#told + 2], told[#told + 3] = tag, wrong[1], wrong[2]
    elseif free or let_go(tag) then
        for _ = 1, number do
            things[ARGV[start]][3](start + 1)
            start = start + 1 + things[ARGV[start]][1]
        end
        told[1] = told[1] + 1
    end
end
return told
