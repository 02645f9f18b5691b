-- Removes entries that every group has settled, and nothing else. Returns how many, the rest of a large number staying for
-- the next call; how many unread ones others removed; and the greatest id that the stream ever had.
-- KEYS: stream, what was seen of it. ARGV: group, how long settled entries stay, in milliseconds.
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
if groups.err then return {0, 0, ''} end
local first_kept, ours
for _, group in ipairs(groups) do
  local fact = facts(group)
  if fact['name'] == ARGV[1] then ours = fact end
  local first
  if fact['pending'] > 0 then
    first = parse(redis.call('XPENDING', KEYS[1], fact['name'])[2])
  else
    first = parse(fact['last-delivered-id'])
    if tonumber(first[2]) < 2 ^ 53 then first[2] = string.format('%.0f', tonumber(first[2]) + 1) end
  end
  if not first_kept or less(first, first_kept) then first_kept = first end
end
if not first_kept then return {0, 0, ''} end
if tonumber(ARGV[2]) > 0 then
  local time = redis.call('TIME')
  local old = {string.format('%.0f', math.max(0, time[1] * 1000 - tonumber(ARGV[2]))), '0'}
  if less(old, first_kept) then first_kept = old end
end
local id = first_kept[1] .. '-' .. first_kept[2]
local removed = redis.call('XTRIM', KEYS[1], 'MINID', '~', id, 'LIMIT', 10000)
-- Nothing left to remove in whole blocks: what remains is at most one of them.
if removed == 0 then redis.call('XTRIM', KEYS[1], 'MINID', '=', id) end
local lost, last = 0, ''
if ours then lost, last = dropped(KEYS[1], KEYS[2], ours) end
return {removed, lost, last}
