-- Says that this consumer still works on entries. Returns the ids that it does not hold any more.
-- An entry that somebody deleted is left as it is, to be found and reported.
-- KEYS: stream. ARGV: group, me, ids.
local group, me = ARGV[1], ARGV[2]
local gone = {}
for at = 3, #ARGV do
  local id = ARGV[at]
  if not mine(group, id, me) then
    gone[#gone + 1] = id
  elseif #redis.call('XRANGE', KEYS[1], id, id) == 1 then
    redis.call('XCLAIM', KEYS[1], group, me, 0, id, 'JUSTID')
  end
end
return gone
