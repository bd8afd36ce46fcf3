-- The filter's job in Envoy's Lua filter: a sticky arm by the hash of a header,
-- the routing header, and requests, errors and time counted for each arm.

local bit = require("bit")
local bxor, lshift, tobit = bit.bxor, bit.lshift, bit.tobit
local byte = string.byte

local SALT = "salt"

local counts = {
  control = { finished = 0, errors = 0, duration_us = 0 },
  canary = { finished = 0, errors = 0, duration_us = 0 },
}

-- FNV-1a, 32 bits. The prime is 2^24 + 0x193, and the product with its lower
-- part stays below 2^53.
local function hash(text)
  local h = tobit(2166136261)
  for i = 1, #text do
    h = bxor(h, byte(text, i))
    h = tobit(h * 0x193 + lshift(h, 24))
  end
  return h % 4294967296
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local unit = headers:get("x-user-id")
  if unit == nil then
    headers:remove("x-serinus-arm")
    return
  end
  local arm = "control"
  if hash(unit .. SALT) % 10000 >= 5000 then
    arm = "canary"
  end
  headers:replace("x-serinus-arm", arm)
  local metadata = handle:streamInfo():dynamicMetadata()
  metadata:set("sticky", "arm", arm)
  metadata:set("sticky", "started", handle:timestamp(EnvoyTimestampResolution.MICROSECOND))
end

function envoy_on_response(handle)
  local kept = handle:streamInfo():dynamicMetadata():get("sticky")
  local of = kept and counts[kept.arm]
  if not of then
    return
  end
  of.finished = of.finished + 1
  of.duration_us = of.duration_us + (handle:timestamp(EnvoyTimestampResolution.MICROSECOND) - kept.started)
  if tonumber(handle:headers():get(":status")) >= 500 then
    of.errors = of.errors + 1
  end
end
