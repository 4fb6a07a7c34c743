-- SPDX-License-Identifier: Apache-2.0
-- One kind of load for wrk: BENCH_KIND names it, BENCH_KEY is the API key, BENCH_DOCUMENT an id.
local kind, key, document = os.getenv("BENCH_KIND"), os.getenv("BENCH_KEY"), os.getenv("BENCH_DOCUMENT")
local run = os.getenv("BENCH_RUN") or tostring(os.time())
local n = 0
local headers = { ["Authorization"] = "Bearer " .. key, ["Content-Type"] = "application/json" }

local function record()
   n = n + 1
   return string.format('{"name":"Acme-NDA-2026.pdf","mime_type":"application/pdf",'
      .. '"storage_path":"workspaces/ws_bench/documents/%s-%s-%d.pdf","size_bytes":183204,'
      .. '"folder":"/clients/acme/ndas","tags":["nda","confidentiality"]}', kind, run, n)
end

local kinds = {
   create = function() return wrk.format("POST", "/v1/documents", headers, record()) end,
   create_idempotent = function()
      local body = record()
      headers["Idempotency-Key"] = string.format("%s-%d", run, n)
      return wrk.format("POST", "/v1/documents", headers, body)
   end,
   get = function() return wrk.format("GET", "/v1/documents/" .. document .. "?download=false", headers) end,
   link = function()
      n = n + 1
      local body = string.format('{"entity_type":"deal","entity_id":"%s-%d","role":"signed"}', run, n)
      return wrk.format("POST", "/v1/documents/" .. document .. "/link", headers, body)
   end,
   list = function() return wrk.format("GET", "/v1/documents?per_page=25", headers) end,
}

request = kinds[kind]

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format("BENCH %s %.0f %.2f %.2f %d\n", kind, summary.requests / (summary.duration / 1e6),
      latency:percentile(50) / 1000, latency:percentile(99) / 1000,
      errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
