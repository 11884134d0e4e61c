-- The cart cache's protocol, one script (docs/decisions/0003-the-cart-cache-protocol.md).
-- KEYS: the value, the writers' tokens (a sorted set by expiry), the fill lease. ARGV[1] is the operation, ARGV[2] the
-- milliseconds that a token lives. Every answer is {what happened, the value, how many foreign keys were deleted}.
-- Time is the server's own: no two clocks need agree.
local value, writers, lease = KEYS[1], KEYS[2], KEYS[3]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local op, token_ms = ARGV[1], tonumber(ARGV[2])
local foreign = 0

-- What has another type than ours was put there by somebody else: it is deleted, so that no command meets it.
local function delete_foreign(key, type)
    local there = redis.call('TYPE', key).ok
    if there == type or there == 'none' then return false end
    redis.call('DEL', key)
    foreign = foreign + 1
    return true
end

delete_foreign(value, 'string')
delete_foreign(lease, 'string')
if delete_foreign(writers, 'zset') then
    -- It may have replaced the token of a write that is under way, so readers are kept off for as long as that may take.
    redis.call('DEL', value, lease)
    redis.call('ZADD', writers, now + token_ms, 'unknown')
    redis.call('PEXPIRE', writers, token_ms * 4)
end

-- A token that has run out belongs to a writer that died: what it may have left behind is not trusted.
local function writing()
    if redis.call('ZREMRANGEBYSCORE', writers, '-inf', now) > 0 then
        redis.call('DEL', value, lease)
    end
    return redis.call('ZCARD', writers) > 0
end

local function newer_than(version)
    local read, there = pcall(cjson.decode, redis.call('GET', value) or '')
    return read and type(there) == 'table' and type(there.version) == 'number' and there.version > version
end

if op == 'read' then -- ARGV: a new lease, its milliseconds, the least and the most life that a value may have left
    if writing() then return {'bypass', '', foreign} end
    local life = redis.call('PTTL', value)
    if life > tonumber(ARGV[6]) then -- no value of ours lives so long
        redis.call('DEL', value)
        foreign = foreign + 1
    elseif life >= tonumber(ARGV[5]) then
        return {'hit', redis.call('GET', value), foreign}
    end
    redis.call('SET', lease, ARGV[3], 'PX', ARGV[4])
    return {'miss', '', foreign}
elseif op == 'fill' then -- ARGV: the lease, the value, its version, its milliseconds
    if writing() or redis.call('GET', lease) ~= ARGV[3] then return {'fill_refused', '', foreign} end
    if newer_than(tonumber(ARGV[5])) then return {'fill_refused', '', foreign} end
    redis.call('SET', value, ARGV[4], 'PX', ARGV[6])
    redis.call('DEL', lease)
    return {'fill', '', foreign}
elseif op == 'begin' then -- ARGV: a new token
    redis.call('DEL', value, lease)
    redis.call('ZADD', writers, now + token_ms, ARGV[3])
    redis.call('PEXPIRE', writers, token_ms * 4)
    return {'begun', '', foreign}
else -- 'end', ARGV: the token
    redis.call('DEL', value, lease)
    redis.call('ZREM', writers, ARGV[3])
    return {'ended', '', foreign}
end
