-- Stores records; other scripts begin with this.
local final = {SUCCESS = true, FAILURE = true, REVOKED = true}

-- The state in a record that may be another program's, in any serializer.
local function state_in(record)
    local state = string.match(record, '^{"status": ?"([^"]*)"') or string.match(record, '\nstatus: (%u+)')
    if state then
        return state
    end
    local _, at = string.find(string.sub(record, 1, 64), 'status', 1, true)
    local near = at and string.sub(record, at, at + 32) or ''
    return string.match(near, 'SUCCESS') or string.match(near, 'FAILURE') or string.match(near, 'REVOKED') or ''
end

-- Stores a record that may take the place of old. side says what its bytes do not: its life, and its state if that cannot
-- be read. lasting is in milliseconds, 0 is for ever.
local function store(old, key, side, state, payload, lasting, life)
    if old then
        local before, was = string.match(redis.call('GET', side) or '', '^(%d+) ?(.*)$')
        before = tonumber(before or 0)
        if not was or was == '' then
            was = state_in(old)
        end
        if life < before or (life == before and final[was]) then
            return
        end
    end
    local about = state_in(payload) ~= state and life .. ' ' .. state or life > 0 and life
    if lasting > 0 then
        redis.call('SET', key, payload, 'PX', lasting)
    else
        redis.call('SET', key, payload)
    end
    if not about then
        redis.call('DEL', side)
    elseif lasting > 0 then
        redis.call('SET', side, about, 'PX', lasting)
    else
        redis.call('SET', side, about)
    end
    redis.call('PUBLISH', key, payload)
end
