-- Hands entries out again that this consumer holds, and counts that. Returns for each its id, how often it was handed
-- out, this time included, and its fields; no fields when somebody had deleted it.
-- KEYS: stream. ARGV: group, me, ids.
local group, me = ARGV[1], ARGV[2]
local taken = {}
for at = 3, #ARGV do
  local id = ARGV[at]
  local pending = redis.call('XPENDING', KEYS[1], group, id, id, 1, me)[1]
  if pending then
    local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
    if entry then
      redis.call('XCLAIM', KEYS[1], group, me, 0, id)
      taken[#taken + 1] = {id, pending[4] + 1, entry[2]}
    else
      redis.call('XACK', KEYS[1], group, id)
      taken[#taken + 1] = {id, 0, false}
    end
  end
end
return taken
