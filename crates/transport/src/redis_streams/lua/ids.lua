-- Reads what the server says of a stream, and compares its ids.
local function less(a, b)
  if a[1] ~= b[1] then return tonumber(a[1]) < tonumber(b[1]) end
  -- Sequences are compared as text: they may be larger than numbers are exact.
  return #a[2] < #b[2] or (#a[2] == #b[2] and a[2] < b[2])
end
local function parse(id)
  return {string.match(id, '^(%d+)-(%d+)$')}
end
local function facts(list)
  local fact = {}
  for at = 1, #list, 2 do fact[list[at]] = list[at + 1] end
  return fact
end
