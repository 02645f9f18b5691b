-- Tells how many entries others removed before this group read them, at least, since somebody looked last.
-- Never counts what the group has read. While all that the stream has is unread, its length says how much there should be:
-- what was there at the last look and was added since, if the group read nothing; else by the server's counts of what was
-- added and what was read. A server that was restarted has forgotten how much was read, so only counts of one process are
-- compared; and a single deletion makes it guess, so a look after which one may have been passed over only begins anew.
-- What was seen is kept at the server: whoever looks first counts, and what happens while nobody looks is counted later.
local function dropped(key, seen, group)
  local field = 'state/' .. group['name']
  local known = redis.pcall('HGET', seen, field)
  local before = type(known) == 'string' and cjson.decode(known)
  -- What tells more hands out whole entries, which may be large: it is asked only where something has changed.
  local lag, delivered = group['lag'], group['last-delivered-id']
  if before and lag and before.lag == lag and before.delivered == delivered
      and before.length == redis.call('XLEN', key) then
    return 0, before.last
  end
  local info = redis.pcall('INFO', 'server')
  local run = type(info) == 'string' and string.match(info, 'run_id:(%x+)')
  local stream = redis.pcall('XINFO', 'STREAM', key)
  if stream.err or not run then return 0, '' end
  stream = facts(stream)
  local added, length = stream['entries-added'], stream['length']
  -- Servers before version 7 do not count.
  if not added then return 0, stream['last-generated-id'] end
  local read, deleted = group['entries-read'], stream['max-deleted-entry-id']
  local first = stream['recorded-first-entry-id']
  local unread = length == 0 or less(parse(delivered), parse(first))
  local ahead = less(parse(delivered), parse(deleted))

  local same = before and before.run == run
  local count, missing = 0, nil
  if same and (before.deleted == deleted or ahead) then missing = before.missing end
  if before and unread and before.unread and before.delivered == delivered then
    count = before.length + added - before.added - length
  elseif unread and read and missing then
    count = added - read - length - missing
  elseif before and not unread and ahead and before.deleted ~= deleted then
    -- The greatest of those that were deleted: who knows how many more.
    count, missing = 1, nil
  end
  -- A server that has not counted what was read takes for read, with the first entry that is, whatever is gone before it.
  if not read then missing = 0 elseif unread then missing = added - read - length end
  count = math.max(0, count)
  local now = cjson.encode({run = run, added = added, length = length, delivered = delivered, deleted = deleted,
    unread = unread, missing = missing, lag = lag or nil, last = stream['last-generated-id']})
  if now == known then return 0, stream['last-generated-id'] end
  -- What cannot be kept would be counted again at the next look: a full server takes nothing.
  local kept = redis.pcall('HSET', seen, field, now)
  if type(kept) == 'table' and kept.err then return 0, stream['last-generated-id'] end
  if count > 0 then
    local total = redis.pcall('HGET', seen, 'lost/' .. group['name'])
    total = (type(total) == 'string' and tonumber(string.match(total, '^%d+')) or 0) + count
    redis.call('HSET', seen, 'lost/' .. group['name'], string.format('%.0f %s', total, redis.call('TIME')[1]))
  end
  return count, stream['last-generated-id']
end
