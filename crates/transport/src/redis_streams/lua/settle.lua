-- Puts the copies of deliveries where they go and acks the originals, for those that this consumer still holds.
-- Copies come first: whatever refuses them, the original is then still there.
-- KEYS: stream, due, parked, dead. ARGV: group, me, then for each delivery its id and the number of copies, then for
-- each copy its delay in milliseconds ('-' for a dead letter), the number of its fields, and the fields.
local group, me = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local at = 3
while at <= #ARGV do
  local id, copies = ARGV[at], tonumber(ARGV[at + 1])
  local held = mine(group, id, me)
  at = at + 2
  for copy = 1, copies do
    local delay, count = ARGV[at], tonumber(ARGV[at + 1])
    at = at + 2
    if held and delay == '-' then
      redis.call('XADD', KEYS[4], '*', unpack(ARGV, at, at + count - 1))
    elseif held then
      local fields = {}
      for field = 1, count do fields[field] = ARGV[at + field - 1] end
      local member = group .. '/' .. id .. '/' .. copy
      -- The first byte is the version of what follows.
      redis.call('HSET', KEYS[3], member, '1' .. cmsgpack.pack(fields))
      redis.call('ZADD', KEYS[2], now + tonumber(delay), member)
    end
    at = at + count
  end
  if held then redis.call('XACK', KEYS[1], group, id) end
end
return redis.status_reply('OK')
