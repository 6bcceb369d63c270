-- POSTs the bodies of a file, one a line, in turn; prints the result as one line of JSON.
-- wrk ... -s load.lua URL -- BODIES
-- GAUNTLET_TOKEN, in the environment and not among the arguments: presented with every request.

function init(args)
   requests, number = {}, 0
   local headers = { ["Content-Type"] = "application/json" }
   local token = os.getenv("GAUNTLET_TOKEN")
   if token then headers["Authorization"] = "Bearer " .. token end
   for line in io.lines(args[1]) do
      requests[#requests + 1] = wrk.format("POST", nil, headers, line)
   end
end

function request()
   number = number % #requests + 1
   return requests[number]
end

function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      'RESULT {"requests":%d,"microseconds":%d,"p50":%.0f,"p99":%.0f,"status":%d,"socket":%d,"timeout":%d}\n',
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
      errors.status, errors.connect + errors.read + errors.write, errors.timeout))
end
