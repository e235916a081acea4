-- Takes dead letters away. KEYS: letters, numbers. ARGV: how the keys of one queue's numbers begin; then of each letter
-- its number, the list at whose end it goes ('' for none) and the entry to put there. Gives how many were there.
local count = 0
for i = 2, #ARGV, 3 do
    local number = ARGV[i]
    if redis.call('HEXISTS', KEYS[1], number) == 1 then
        count = count + 1
        if ARGV[i + 1] ~= '' then
            redis.call('LPUSH', ARGV[i + 1], ARGV[i + 2])
        end
        for _, known in ipairs(redis.call('ZRANGEBYLEX', KEYS[2], '[' .. number .. ':', '(' .. number .. ';')) do
            redis.call('ZREM', ARGV[1] .. string.sub(known, 21), known)
            redis.call('ZREM', KEYS[2], known)
        end
        redis.call('HDEL', KEYS[1], number)
    end
end
return count
