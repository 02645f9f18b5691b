-- Hands entries back that this consumer holds, as new entries: others see those at once. Returns the ids whose entries
-- somebody had deleted.
-- KEYS: stream. ARGV: group, me, ids.
local group, me = ARGV[1], ARGV[2]
local lost = {}
for at = 3, #ARGV do
  local id = ARGV[at]
  if mine(group, id, me) then
    local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
    if entry and #entry[2] > 4000 then
      -- More fields than a script can pass on: the next one to look for abandoned entries finds it.
      redis.call('XCLAIM', KEYS[1], group, me, 0, id, 'IDLE', 3600000, 'JUSTID')
    else
      if entry then redis.call('XADD', KEYS[1], '*', unpack(entry[2])) else lost[#lost + 1] = id end
      redis.call('XACK', KEYS[1], group, id)
    end
  end
end
return lost
