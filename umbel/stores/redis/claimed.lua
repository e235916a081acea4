-- How many messages of each queue are handed out. KEYS: unacked. ARGV: queues as they end a value there, with the bracket.
local counts = {}
for i = 1, #ARGV do
    counts[i] = 0
end
for _, value in ipairs(redis.call('HVALS', KEYS[1])) do
    for i = 1, #ARGV do
        if string.sub(value, -#ARGV[i]) == ARGV[i] then
            counts[i] = counts[i] + 1
            break
        end
    end
end
return counts
