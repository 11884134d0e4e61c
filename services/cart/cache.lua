-- The cart cache's protocol, one script. KEYS: value, writers' tokens (a sorted set by expiry), the fill lease.
-- ARGV[1] is the operation. Time is the server's own: no two clocks need agree.
local value, writers, lease = KEYS[1], KEYS[2], KEYS[3]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local op = ARGV[1]

-- A token that has run out belongs to a writer that died: what it may have left behind is not trusted.
local function writing()
    if redis.call('ZREMRANGEBYSCORE', writers, '-inf', now) > 0 then
        redis.call('DEL', value, lease)
    end
    return redis.call('ZCARD', writers) > 0
end

if op == 'read' then -- ARGV: a new lease, its milliseconds, the least life that a value must have left
    if writing() then return {'bypass', ''} end
    if redis.call('PTTL', value) >= tonumber(ARGV[4]) then return {'hit', redis.call('GET', value)} end
    redis.call('SET', lease, ARGV[2], 'PX', ARGV[3])
    return {'miss', ''}
elseif op == 'fill' then -- ARGV: the lease, the value, its version, its milliseconds
    if writing() or redis.call('GET', lease) ~= ARGV[2] then return 0 end
    local read, there = pcall(cjson.decode, redis.call('GET', value) or '')
    if read and type(there) == 'table' and (there.version or 0) > tonumber(ARGV[4]) then return 0 end
    redis.call('SET', value, ARGV[3], 'PX', ARGV[5])
    redis.call('DEL', lease)
    return 1
elseif op == 'begin' then -- ARGV: a new token, its milliseconds
    redis.call('DEL', value, lease)
    redis.call('ZADD', writers, now + ARGV[3], ARGV[2])
    redis.call('PEXPIRE', writers, ARGV[3] * 4)
    return 1
else -- 'end', ARGV: the token
    redis.call('DEL', value, lease)
    redis.call('ZREM', writers, ARGV[2])
    return 1
end
