-- Whether this consumer holds an entry. A group that vanished has forgotten it: whoever still has the entry may act on it.
local function mine(group, id, me)
  local pending = redis.pcall('XPENDING', KEYS[1], group, id, id, 1, me)
  if pending.err and string.find(pending.err, 'NOGROUP', 1, true) then return true end
  if pending.err then redis.call('XPENDING', KEYS[1], group, id, id, 1, me) end
  return #pending == 1
end
