-- One exchange of a replica with the counters that all replicas share; see slices.py.
--
-- KEYS[1] is the set of replicas, KEYS[2..] are limits. ARGV: replica, lease (ms), number of this
-- exchange, then fourteen for each limit: capacity, rate a second, requests a day (0: none), number
-- of the last exchange that was answered, free, back, debt, need, want, and should this server have
-- forgotten, what the replica last heard: what it holds, the level, what was left of the day (-1:
-- nothing), that day; and the exchange that told `back` and `debt` first.
-- Returns the count of replicas and the day, then for each limit what the replica holds now, the level that
-- nobody holds, requests left in the day that nobody holds, and the seconds to wait for what is
-- missing. Fields of a limit: "" has level, time of that, day, used that day; a replica has what
-- it holds, when its lease ends, the exchange's number, and what was granted in that.
-- Where this server's clock was set back, or another server with a slower one took over, no lease
-- ends later than one that begins now, and a day that was begun is not begun again.
local time = redis.call("TIME")
local second = tonumber(time[1])
local now = second * 1000 + math.floor(tonumber(time[2]) / 1000)
local today = math.floor(second / 86400)
local replica, lease, number = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

redis.call("ZADD", KEYS[1], now + lease, replica)
redis.call("ZREMRANGEBYSCORE", KEYS[1], "-inf", now)
redis.call("ZREMRANGEBYSCORE", KEYS[1], now + 2 * lease, "+inf")
redis.call("PEXPIRE", KEYS[1], lease * 2)
local answer = { redis.call("ZCARD", KEYS[1]), today }

local function numbers(text)
  local found = {}
  for each in string.gmatch(text, "%S+") do
    found[#found + 1] = tonumber(each)
  end
  return found
end

for index = 2, #KEYS do
  local key, at = KEYS[index], 3 + (index - 2) * 14
  local capacity, rate, per_day = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local answered, free, back = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6])
  local debt, need, want = tonumber(ARGV[at + 7]), tonumber(ARGV[at + 8]), tonumber(ARGV[at + 9])

  local hold = tonumber(ARGV[at + 10])

  local state, mine, others = nil, nil, 0
  local lost = 0
  local fields = redis.call("HGETALL", key)
  for field = 1, #fields, 2 do
    local name, values = fields[field], numbers(fields[field + 1])
    if name == "" then
      state = values
    elseif values[2] <= now then
      lost = lost + values[1]
      redis.call("HDEL", key, name)
    elseif name == replica then
      mine = values
    else
      others = others + values[1]
      if values[2] > now + 2 * lease then
        local kept = string.format("%.0f %.0f %.0f %.0f", values[1], now + lease, values[3], values[4])
        redis.call("HSET", key, name, kept)
      end
    end
  end
  if state == nil then
    local level = tonumber(ARGV[at + 11])
    if level < 0 then level = capacity end
    state = { level + free + back, now, today, 0 }
    lost = 0
  end
  local level, day, used = state[1], state[3], state[4]

  if mine ~= nil and mine[3] >= number then
    -- An exchange that was overtaken by a later one of the same replica.
    answer[#answer + 1] = tostring(mine[1])
    answer[#answer + 1] = string.format("%.6f", level)
    answer[#answer + 1] = tostring(per_day - used - others - mine[1])
    answer[#answer + 1] = "1"
  else
    local base
    if mine == nil then
      base = hold
      level = level - free - back
    else
      base = mine[1]
      if mine[3] ~= answered then
        base = base - mine[4]
        level = level + mine[4]
      end
      -- Told before, in an exchange that was heard here but whose answer was lost.
      if mine[3] >= tonumber(ARGV[at + 14]) then
        back, debt = 0, 0
      end
    end
    -- What replicas hold fills the bucket too, so it never holds more than its capacity in all.
    level = level + rate * math.max(0, now - state[2]) / 1000
    level = math.min(level, capacity - others - base)
    level = level + back
    if today > day then used = 0 end
    day = today
    local heard = tonumber(ARGV[at + 12])
    if mine == nil and heard >= 0 and tonumber(ARGV[at + 13]) == today then
      used = math.max(used, per_day - heard - others - base)
    end
    used = used + base - free - back + debt + lost
    local held = free
    if free < 0 then
      level, held = level + free, 0
    end
    if rate == 0 then
      level = capacity - others - held
    else
      level = math.min(level, capacity - others - held)
    end

    local left = per_day - used - others - held
    local most = level
    if per_day > 0 then most = math.min(most, left) end
    most = math.max(0, math.floor(most))
    local grant = math.min(most, need)
    grant = grant + math.min(want, math.floor((most - grant) / 2))
    level, held, left = level - grant, held + grant, left - grant

    local wait = 0
    local missing = need - grant
    if missing > 0 then
      wait = 1
      if per_day > 0 and left < missing then
        wait = (today + 1) * 86400 - now / 1000
        if left + others >= missing then wait = 1 end
      elseif rate > 0 then
        wait = (missing - level) / rate
        if level + others >= missing then wait = math.min(wait, 1) end
      end
    end
    redis.call("HSET", key, "", string.format("%.6f %.0f %d %.0f", level, now, day, used),
      replica, string.format("%.0f %.0f %.0f %.0f", held, now + lease, number, grant))
    local keep = lease * 2
    if rate > 0 then keep = keep + math.min(86400000, (capacity - level) / rate * 1000) end
    if per_day > 0 then keep = 2 * 86400000 end
    redis.call("PEXPIRE", key, string.format("%.0f", keep))
    answer[#answer + 1] = string.format("%.0f", held)
    answer[#answer + 1] = string.format("%.6f", level)
    answer[#answer + 1] = string.format("%.0f", left)
    answer[#answer + 1] = string.format("%.6f", wait)
  end
end
return answer
