-- Brings parked copies that are due back into the stream. Returns how many, the milliseconds until the next one is due
-- (-1 when there is none), and the members whose contents were gone.
-- KEYS: stream, due, parked.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 100)
local lost = {}
for _, member in ipairs(due) do
  local packed = redis.call('HGET', KEYS[3], member)
  if packed and string.sub(packed, 1, 1) ~= '1' then
    -- A newer version wrote it: left for a worker that knows it.
    redis.call('ZADD', KEYS[2], now + 60000, member)
  else
    if packed then
      redis.call('XADD', KEYS[1], '*', unpack(cmsgpack.unpack(string.sub(packed, 2))))
    else
      lost[#lost + 1] = member
    end
    redis.call('ZREM', KEYS[2], member)
    redis.call('HDEL', KEYS[3], member)
  end
end
local next = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
return {#due, next[2] and math.max(0, next[2] - now) or -1, lost}
