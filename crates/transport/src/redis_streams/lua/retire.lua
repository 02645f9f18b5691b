-- Removes consumers that hold nothing: this one if it is named, and those that were silent for so many milliseconds.
-- Removing one that holds entries would lose them.
-- KEYS: stream. ARGV: group, me (may be empty), milliseconds.
local consumers = redis.pcall('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])
if consumers.err then return 0 end
local removed = 0
for _, consumer in ipairs(consumers) do
  local fact = {}
  for at = 1, #consumer, 2 do fact[consumer[at]] = consumer[at + 1] end
  if fact['pending'] == 0 and (fact['name'] == ARGV[2] or fact['idle'] > tonumber(ARGV[3])) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], fact['name'])
    removed = removed + 1
  end
end
return removed
