-- Acks nothing. A full server refuses what a script wants to store, unless the script has written before: this is the write.
-- What follows it stores copies of what it removes, and without it a full server would never get any emptier.
redis.call('XACK', KEYS[1], '', '0-0')
