-- Asks Parvis, for HAProxy, whether a request may pass: see haproxy.cfg.
--
--   http-request lua.parvis ADDRESS SCHEME HOST
--
-- txn.parvis_status is 200 when it may; Remote-User, Remote-Name, Remote-Email,
-- Remote-Groups and Parvis-Assertion are then headers of the request. Else it is
-- the status to answer with: 303 with txn.parvis_location, or 401, 403 with
-- txn.parvis_body. Anything else, and no status at all, means no.

-- What the question does not carry on: it has no body, a connection of its
-- own, and says by itself what is asked for.
local left_out = {
    ["host"] = true, ["connection"] = true, ["content-length"] = true, ["transfer-encoding"] = true,
    ["expect"] = true, ["upgrade"] = true, ["te"] = true, ["trailer"] = true, ["keep-alive"] = true,
}

local told = { "remote-user", "remote-name", "remote-email", "remote-groups", "parvis-assertion" }

core.register_action("parvis", { "http-req" }, function(txn, address, scheme, host)
    local headers = {}
    for name, values in pairs(txn.http:req_get_headers()) do
        if not left_out[name] then
            headers[name] = {}
            for i, value in pairs(values) do
                headers[name][i] = value
            end
        end
    end
    headers["x-forwarded-proto"] = { [0] = scheme }
    headers["x-forwarded-host"] = { [0] = host }
    headers["x-forwarded-method"] = { [0] = txn.sf:method() }
    headers["x-forwarded-uri"] = { [0] = txn.sf:pathq() }

    local answer = core.httpclient():get({ url = "http://" .. address .. "/auth/verify", headers = headers, timeout = 5000 })
    if answer == nil or answer.status == nil then
        return
    end
    local function first(name)
        local values = answer.headers[name]
        return values and values[0]
    end
    if answer.status == 200 then
        for _, name in ipairs(told) do
            txn.http:req_del_header(name)
            if first(name) then
                txn.http:req_set_header(name, first(name))
            end
        end
    end
    txn:set_var("txn.parvis_location", first("location") or "")
    txn:set_var("txn.parvis_body", answer.body or "")
    txn:set_var("txn.parvis_status", answer.status)
end, 3)
