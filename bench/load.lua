-- SPDX-License-Identifier: Apache-2.0
-- One kind of load for wrk. BENCH_KIND names it; BENCH_KEY is one API key or several, separated by
-- commas, which are used in turn; BENCH_DOCUMENT one id or several.
local kind = os.getenv("BENCH_KIND")
local run = os.getenv("BENCH_RUN") or tostring(os.time())
local n = 0

local function words(text)
   local list = {}
   for word in text:gmatch("[^,]+") do list[#list + 1] = word end
   return list
end

local documents, callers = words(os.getenv("BENCH_DOCUMENT") or ""), {}
for i, key in ipairs(words(os.getenv("BENCH_KEY"))) do
   callers[i] = { ["Authorization"] = "Bearer " .. key, ["Content-Type"] = "application/json" }
end

-- the n-th of a list that goes round
local function turn(list) return list[n % #list + 1] end

local function record()
   return string.format('{"name":"Acme-NDA-2026.pdf","mime_type":"application/pdf",'
      .. '"storage_path":"workspaces/ws_bench/documents/%s-%s-%d.pdf","size_bytes":183204,'
      .. '"folder":"/clients/acme/ndas","tags":["nda","confidentiality"]}', kind, run, n)
end

local kinds = {
   create = function() return wrk.format("POST", "/v1/documents", turn(callers), record()) end,
   create_idempotent = function()
      local headers = turn(callers)
      headers["Idempotency-Key"] = string.format("%s-%d", run, n)
      return wrk.format("POST", "/v1/documents", headers, record())
   end,
   get = function()
      return wrk.format("GET", "/v1/documents/" .. turn(documents) .. "?download=false", turn(callers))
   end,
   link = function()
      local body = string.format('{"entity_type":"deal","entity_id":"%s-%d","role":"signed"}', run, n)
      return wrk.format("POST", "/v1/documents/" .. turn(documents) .. "/link", turn(callers), body)
   end,
   list = function() return wrk.format("GET", "/v1/documents?per_page=25", turn(callers)) end,
}

request = function()
   n = n + 1
   return kinds[kind]()
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format("BENCH %s %.0f %.2f %.2f %d\n", kind, summary.requests / (summary.duration / 1e6),
      latency:percentile(50) / 1000, latency:percentile(99) / 1000,
      errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
