-- wrk's script: paths from the file PATHS at random, PIPELINE of them at once, TOKEN as the bearer. Ends with one line of JSON.
local requests = {}

function init(arguments)
  local headers = {}
  local token = os.getenv("TOKEN")
  if token and token ~= "" then headers["Authorization"] = "Bearer " .. token end
  for path in io.lines(os.getenv("PATHS")) do requests[#requests + 1] = wrk.format("GET", path, headers) end
  math.randomseed(1)
end

local pipeline = tonumber(os.getenv("PIPELINE") or "1")

function request()
  if pipeline == 1 then return requests[math.random(#requests)] end
  local chosen = {}
  for i = 1, pipeline do chosen[i] = requests[math.random(#requests)] end
  return table.concat(chosen)
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format('\n{"requests":%d,"seconds":%.6f,"bad":%d,"p50_ms":%.3f,"p99_ms":%.3f,"max_ms":%.3f}\n',
    summary.requests, summary.duration / 1e6, errors.status + errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
