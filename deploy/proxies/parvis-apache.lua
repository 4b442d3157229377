-- Asks Parvis, for Apache httpd, whether a request may pass: see apache.conf.

local http = require "socket.http"
local ltn12 = require "ltn12"

http.TIMEOUT = 5 -- seconds

local told = { "Remote-User", "Remote-Name", "Remote-Email", "Remote-Groups", "Parvis-Assertion" }

-- What the question carries of the request: whose it is, what kind of program
-- sent it and, for a page, which.
local carried = {
    "Cookie", "Accept", "Accept-Language", "User-Agent", "Origin", "Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Fetch-Dest",
    "X-Requested-With", "Sec-WebSocket-Key", "X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override",
}

function ask(r)
    for _, name in ipairs(told) do
        r.headers_in[name] = nil
    end
    -- Nor may a visitor name, in Connection, a header to be dropped on the way
    -- (RFC 9110 section 7.6.1): it would be one of those.
    r.headers_in["Connection"] = nil
    local path = string.match(r.unparsed_uri, "^[^?]*")
    if path == "/.parvis/begin" or path == "/.parvis/enter" then
        return apache2.DECLINED -- it goes to Parvis, as it is written
    end

    local env = r.subprocess_env
    local headers = {
        ["x-forwarded-for"] = r.useragent_ip,
        ["x-forwarded-proto"] = env["PARVIS_SCHEME"],
        ["x-forwarded-host"] = env["PARVIS_HOST"],
        ["x-forwarded-uri"] = r.unparsed_uri,
        ["x-forwarded-method"] = r.method,
    }
    for _, name in ipairs(carried) do
        headers[name] = r.headers_in[name]
    end
    local body = {}
    local done, status, answer = http.request {
        url = env["PARVIS_ASK"], headers = headers, redirect = false, sink = ltn12.sink.table(body),
    }
    if not done then
        r:err("Parvis does not answer: " .. tostring(status))
        return 503
    end

    if status == 200 then
        for _, name in ipairs(told) do
            r.headers_in[name] = answer[string.lower(name)]
        end
        return apache2.DECLINED
    end
    if status == 303 and answer["location"] then
        r.err_headers_out["Location"] = answer["location"]
        return 303
    end
    if status == 401 or status == 403 then
        r.status = status
        r.content_type = answer["content-type"] or "text/plain"
        r:puts(table.concat(body))
        return apache2.DONE
    end
    return 503
end
