-- SPDX-License-Identifier: Apache-2.0
-- One kind of load for wrk. BENCH_KIND names it. BENCH_KEY is one API key or several, separated by
-- commas, which are used in turn; BENCH_DOCUMENT one id or several, BENCH_IDS a file with one a
-- line: each is used once, and then there is an error. Requests are put together here and not by
-- wrk.format(), which costs the load generator several times as much.
local kind = os.getenv("BENCH_KIND")
local run = os.getenv("BENCH_RUN") or tostring(os.time())
local n = 0

local function words(text)
   local list = {}
   for word in text:gmatch("[^,]+") do list[#list + 1] = word end
   return list
end

local function lines_of(path)
   local list = {}
   if path then
      for line in io.lines(path) do list[#list + 1] = line end
   end
   return list
end

local documents = words(os.getenv("BENCH_DOCUMENT") or "")
local ids = lines_of(os.getenv("BENCH_IDS"))
local size = tonumber(os.getenv("BENCH_SIZE") or "4096")
local target = os.getenv("BENCH_TARGET")
local callers = {}    -- header lines of each

-- the n-th of a list that goes round
local function turn(list) return list[n % #list + 1] end

-- one of `ids` that was not used yet
local function fresh() return ids[n] or "none-left" end

local function bare(method, path) return method .. " " .. path .. " HTTP/1.1\r\n" .. turn(callers) end

local function with_body(method, path, kind_of_body, body, more)
   return bare(method, path) .. (more or "") .. "Content-Type: " .. kind_of_body
      .. "\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
end

local function post(path, body, more) return with_body("POST", path, "application/json", body, more) end

local function record()
   return string.format('{"name":"Acme-NDA-2026.pdf","mime_type":"application/pdf",'
      .. '"storage_path":"workspaces/ws_bench/documents/%s-%s-%d.pdf","size_bytes":183204,'
      .. '"folder":"/clients/acme/ndas","tags":["nda","confidentiality"]}', kind, run, n)
end

-- Random bytes in front of each file's own name: no two files are the same.
local noise
local function random_bytes()
   if not noise then
      local source = io.open("/dev/urandom", "rb")
      noise = source:read(2 * size)
      source:close()
   end
   local own = string.format("%s-%d\n", run, n)
   local from = n % size
   return own .. noise:sub(from + 1, from + size - #own)
end

local BOUNDARY = "bench-1f6b2c7e9a"
local function multipart(field, path)
   local body = "--" .. BOUNDARY .. '\r\nContent-Disposition: form-data; name="' .. field
      .. '"; filename="' .. run .. "-" .. n .. '.bin"\r\nContent-Type: application/octet-stream\r\n\r\n'
      .. random_bytes() .. "\r\n--" .. BOUNDARY .. "--\r\n"
   return with_body("POST", path, "multipart/form-data; boundary=" .. BOUNDARY, body)
end

local made = {}    -- requests that are the same each time, by what differs
local function once(key, make)
   made[key] = made[key] or make()
   return made[key]
end

local function get(path)
   return once(path, function() return bare("GET", path) .. "\r\n" end)
end

local kinds = {
   create = function() return post("/v1/documents", record()) end,
   create_idempotent = function()
      return post("/v1/documents", record(), "Idempotency-Key: " .. run .. "-" .. n .. "\r\n")
   end,
   get = function() return get("/v1/documents/" .. turn(documents)) end,
   link = function()
      local body = string.format('{"entity_type":"deal","entity_id":"%s-%d","role":"signed"}', run, n)
      return post("/v1/documents/" .. (ids[1] and fresh() or turn(documents)) .. "/link", body)
   end,
   list = function() return get("/v1/documents?per_page=25") end,
   delete = function() return bare("DELETE", "/v1/documents/" .. fresh()) .. "\r\n" end,
   delete_hard = function()
      return bare("DELETE", "/v1/documents/" .. fresh() .. "?hard=true") .. "\r\n"
   end,
   upload = function() return multipart("files", "/api/v1/upload") end,
   -- a list of paths in turn: signed URLs of ours, files of a stock server
   path = function() return get(ids[1] and turn(ids) or target) end,
   -- the peers' own words for a create
   post_target = function()
      local body = os.getenv("BENCH_BODY"):gsub("@N@", run .. "-" .. n)
      return post(target, body)
   end,
   multipart_target = function() return multipart(os.getenv("BENCH_FIELD"), target) end,
}

function init()
   local keys = words(os.getenv("BENCH_KEY") or "")
   for i, key in ipairs(keys) do
      callers[i] = "Host: " .. wrk.headers["Host"] .. "\r\nAuthorization: Bearer " .. key .. "\r\n"
   end
   if #keys == 0 then callers[1] = "Host: " .. wrk.headers["Host"] .. "\r\n" end
end

request = function()
   n = n + 1
   return kinds[kind]()
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format("BENCH %s %.0f %.3f %.3f %d %.3f %.3f\n", kind,
      summary.requests / (summary.duration / 1e6),
      latency:percentile(50) / 1000, latency:percentile(99) / 1000,
      errors.status + errors.connect + errors.read + errors.write + errors.timeout,
      latency:percentile(90) / 1000, latency:percentile(99.9) / 1000))
end
