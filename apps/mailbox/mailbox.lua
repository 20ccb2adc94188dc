-- Dissects tapstack's mailbox protocol for Wireshark: wireshark -X lua_script:mailbox.lua capture.pcapng
-- The protocol is in PROTOCOL.md beside this file.

local PORT = 7810
local HEADER = 24
local LAST_FRAGMENT = 0x80000000

local kinds = { [1] = "Hello", [2] = "Welcome", [3] = "Stale", [4] = "Ask", [5] = "Answer", [6] = "Send", [7] = "Ack",
  [8] = "Fetch", [9] = "Delivery", [10] = "Taken" }
local asks = { [1] = "Create", [2] = "Delete", [3] = "List", [4] = "Peek", [5] = "Open", [6] = "Close",
  [7] = "Attach", [8] = "Detach" }
local answers = { [1] = "Done", [2] = "List", [3] = "Peek", [4] = "Opened", [5] = "Attached" }
local refusals = { [0] = "OK", [1] = "No such box", [2] = "Exists", [3] = "Full", [4] = "Busy", [5] = "Owned",
  [6] = "Too large", [7] = "Unknown", [8] = "Disk failed", [9] = "Malformed" }
local semantics = { [0] = "At most once", [1] = "At least once", [2] = "Effectively once" }
local box_kinds = { [0] = "Process", [1] = "Mailbox", [2] = "Port" }
local when_full = { [0] = "Block", [1] = "Reject", [2] = "Drop oldest" }
local verdicts = { [0] = "Ack", [1] = "Nack", [2] = "Refuse" }
local reasons = { [0] = "Expired", [1] = "Undeliverable", [2] = "Displaced", [3] = "Refused" }
local counts = { "Accepted", "Handed out", "Settled", "Returned", "Rejected", "Expired", "Displaced", "Undeliverable",
  "Refused" }

local mailbox = Proto("tapmail", "tapstack mailbox")
local f = {
  mark = ProtoField.uint32("tapmail.mark", "Record mark", base.HEX),
  magic = ProtoField.string("tapmail.magic", "Magic"),
  kind = ProtoField.uint32("tapmail.kind", "Kind", base.DEC, kinds),
  boot = ProtoField.uint64("tapmail.boot", "Boot", base.HEX),
  token = ProtoField.uint64("tapmail.token", "Token", base.HEX),
  nonce = ProtoField.uint64("tapmail.nonce", "Nonce", base.HEX),
  request = ProtoField.uint64("tapmail.request", "Request"),
  ask = ProtoField.uint32("tapmail.ask", "Question", base.DEC, asks),
  answer = ProtoField.uint32("tapmail.answer", "Answer", base.DEC, answers),
  status = ProtoField.uint32("tapmail.status", "Status", base.DEC, refusals),
  name = ProtoField.string("tapmail.box", "Box"),
  semantics = ProtoField.uint32("tapmail.semantics", "Semantics", base.DEC, semantics),
  box_kind = ProtoField.uint32("tapmail.box.kind", "Kind of box", base.DEC, box_kinds),
  when_full = ProtoField.uint32("tapmail.box.when_full", "When full", base.DEC, when_full),
  stream = ProtoField.uint64("tapmail.stream", "Sender", base.HEX),
  reader = ProtoField.uint64("tapmail.reader", "Reader", base.HEX),
  first = ProtoField.uint64("tapmail.first", "First"),
  heard = ProtoField.uint64("tapmail.heard", "Heard"),
  next = ProtoField.uint64("tapmail.next", "Next"),
  room = ProtoField.uint32("tapmail.room", "Room"),
  flag = ProtoField.bool("tapmail.flag", "Flag"),
  number = ProtoField.uint32("tapmail.number", "Number"),
  long = ProtoField.uint64("tapmail.long", "Long"),
  id = ProtoField.uint64("tapmail.letter", "Letter"),
  seq = ProtoField.uint64("tapmail.seq", "Sequence number"),
  verdict = ProtoField.uint32("tapmail.verdict", "Verdict", base.DEC, verdicts),
  reason = ProtoField.uint32("tapmail.death", "Died of", base.DEC, reasons),
  priority = ProtoField.uint32("tapmail.priority", "Priority"),
  ttl = ProtoField.uint32("tapmail.ttl", "Time to live (ms)"),
  deliveries = ProtoField.uint32("tapmail.deliveries", "Deliveries"),
  address = ProtoField.string("tapmail.reply_to", "Reply to"),
  correlation = ProtoField.uint64("tapmail.correlation", "Correlation", base.HEX),
  body = ProtoField.bytes("tapmail.body", "Body"),
}
mailbox.fields = f
local bad = ProtoExpert.new("tapmail.bad", "Not as the protocol has it", expert.group.MALFORMED, expert.severity.ERROR)
mailbox.experts = { bad }

-- Takes XDR values from a record, one after the other, into a tree.
local Reader = {}
Reader.__index = Reader

function Reader.new(record) return setmetatable({ record = record, at = 0 }, Reader) end

function Reader:take(len)
  local range = self.record(self.at, len)
  self.at = self.at + len
  return range
end

function Reader:u32(tree, field, label)
  local range = self:take(4)
  local item = tree:add(field, range)
  if label then item:set_text(label .. ": " .. range:uint()) end
  return range:uint()
end

function Reader:u64(tree, field, label)
  local range = self:take(8)
  local item = tree:add(field, range)
  if label then item:set_text(label .. ": " .. tostring(range:uint64())) end
  return range:uint64()
end

function Reader:opaque(tree, field)
  local len = self:take(4):uint()
  local range = self.record(self.at, len)
  tree:add(field, range)
  self.at = self.at + math.ceil(len / 4) * 4
  return range
end

function Reader:text(tree, field)
  local len = self:take(4):uint()
  local range = len > 0 and self.record(self.at, len) or nil
  if range then tree:add(field, range) end
  self.at = self.at + math.ceil(len / 4) * 4
  return range and range:string() or ""
end

function Reader:option(tree, label)
  local range = self:take(4)
  tree:add(f.flag, range):set_text(label .. ": " .. (range:uint() == 0 and "no" or "yes"))
  return range:uint() ~= 0
end

-- An array: `each` reads one element into its own subtree.
function Reader:array(tree, label, each)
  local range = self:take(4)
  local list = tree:add(f.number, range):set_text(label .. ": " .. range:uint())
  for index = 1, range:uint() do each(list, index) end
  return range:uint()
end

local function message(r, tree)
  r:u32(tree, f.priority)
  r:u32(tree, f.ttl)
  if r:option(tree, "Reply expected or given") then
    if r:option(tree, "With an address") then r:text(tree, f.address) end
    r:u64(tree, f.correlation)
  end
  local len = r.record(r.at, 4):uint()
  if len == 0 then r:take(4) else r:opaque(tree, f.body) end
end

local function letter(r, list, index)
  local tree = list:add(mailbox, r.record(r.at), "Letter " .. index)
  local start = r.at
  r:u64(tree, f.id)
  r:u64(tree, f.stream)
  r:u64(tree, f.seq)
  r:u32(tree, f.semantics)
  r:u32(tree, f.deliveries)
  if r:option(tree, "Dead letter") then
    r:text(tree, f.name)
    r:u32(tree, f.reason)
  end
  message(r, tree)
  tree:set_len(r.at - start)
end

local function options(r, tree)
  r:u32(tree, f.box_kind)
  r:u32(tree, f.flag, "Durable")
  r:u32(tree, f.when_full)
  r:u32(tree, f.number, "Messages at most")
  r:u32(tree, f.number, "Bytes at most")
  r:u32(tree, f.number, "Deliveries at most")
  r:u32(tree, f.number, "Redelivered after (ms)")
  r:u32(tree, f.ttl)
  if r:option(tree, "Dead letters") then r:text(tree, f.name) end
end

local function box(r, list, index)
  local start = r.at
  local tree = list:add(mailbox, r.record(r.at), "Box " .. index)
  tree:append_text(": " .. r:text(tree, f.name))
  options(r, tree)
  r:u32(tree, f.number, "Waiting")
  r:u32(tree, f.number, "Handed out")
  r:u64(tree, f.long, "Bytes")
  r:u32(tree, f.number, "Readers")
  for _, count in ipairs(counts) do r:u64(tree, f.long, count) end
  tree:set_len(r.at - start)
end

local function ask(r, tree)
  local what = r:u32(tree, f.ask)
  local name = ""
  if what == 1 then
    name = r:text(tree, f.name)
    options(r, tree)
  elseif what == 2 then
    name = r:text(tree, f.name)
  elseif what == 3 then
    if r:option(tree, "After a name") then name = r:text(tree, f.name) end
  elseif what == 4 then
    name = r:text(tree, f.name)
    r:u32(tree, f.number, "Letters at most")
  elseif what == 5 then
    r:u64(tree, f.stream)
    name = r:text(tree, f.name)
    r:u32(tree, f.semantics)
    r:u64(tree, f.first)
  elseif what == 6 then
    r:u64(tree, f.stream)
  elseif what == 7 then
    r:u64(tree, f.reader)
    name = r:text(tree, f.name)
  elseif what == 8 then
    r:u64(tree, f.reader)
  else
    error("unknown question")
  end
  return (asks[what] or "?") .. (name ~= "" and " " .. name or "")
end

local function answer(r, tree)
  local status = r:u32(tree, f.status)
  if status ~= 0 then return refusals[status] or "?" end
  local what = r:u32(tree, f.answer)
  if what == 2 then
    r:array(tree, "Boxes", function(list, index) box(r, list, index) end)
    r:u32(tree, f.flag, "More")
  elseif what == 3 then
    r:array(tree, "Letters", function(list, index) letter(r, list, index) end)
  elseif what == 4 then
    r:u32(tree, f.flag, "Restored")
    r:u64(tree, f.next)
    r:u32(tree, f.room)
  elseif what == 5 then
    r:u64(tree, f.long, "Life")
    r:u64(tree, f.next)
  elseif what ~= 1 then
    error("unknown answer")
  end
  return answers[what]
end

local bodies = {
  [1] = function(r, tree) r:u64(tree, f.nonce) end,
  [2] = function(r, tree) r:u64(tree, f.nonce) end,
  [3] = function() end,
  [4] = function(r, tree)
    r:u64(tree, f.request)
    return ask(r, tree)
  end,
  [5] = function(r, tree)
    r:u64(tree, f.request)
    return answer(r, tree)
  end,
  [6] = function(r, tree)
    r:u64(tree, f.stream)
    local first = r:u64(tree, f.first)
    r:u64(tree, f.heard)
    local count = r:array(tree, "Messages", function(list, index)
      local start = r.at
      local item = list:add(mailbox, r.record(r.at), "Message " .. index)
      message(r, item)
      item:set_len(r.at - start)
    end)
    return count .. " from " .. tostring(first)
  end,
  [7] = function(r, tree)
    r:u64(tree, f.stream)
    local next = r:u64(tree, f.next)
    local room = r:u32(tree, f.room)
    local gaps = r:array(tree, "Beyond a gap", function(list)
      r:u64(list, f.long, "From")
      r:u64(list, f.long, "Up to")
    end)
    local refused = r:array(tree, "Refused", function(list)
      r:u64(list, f.seq)
      r:u32(list, f.status)
    end)
    return "next " .. tostring(next) .. ", room " .. room .. (gaps > 0 and ", gaps " .. gaps or "")
      .. (refused > 0 and ", refused " .. refused or "")
  end,
  [8] = function(r, tree)
    r:u64(tree, f.reader)
    local request = r:u64(tree, f.request)
    r:u64(tree, f.heard)
    local max = r:u32(tree, f.number, "Letters at most")
    r:u32(tree, f.number, "Bytes at most")
    r:u32(tree, f.number, "Wait (ms)")
    local said = r:array(tree, "Verdicts", function(list)
      r:u64(list, f.id)
      r:u32(list, f.verdict)
    end)
    return tostring(request) .. ": up to " .. max .. ", verdicts " .. said
  end,
  [9] = function(r, tree)
    r:u64(tree, f.reader)
    local request = r:u64(tree, f.request)
    local status = r:u32(tree, f.status)
    if status ~= 0 then return tostring(request) .. ": " .. (refusals[status] or "?") end
    local count = r:array(tree, "Letters", function(list, index) letter(r, list, index) end)
    return tostring(request) .. ": " .. count
  end,
  [10] = function(r, tree)
    r:u64(tree, f.reader)
    return tostring(r:u64(tree, f.request))
  end,
}

-- One record; `record` holds it and nothing else. Returns a line about it.
local function dissect(record, tree)
  local r = Reader.new(record)
  tree:add(f.magic, r:take(4))
  local kind = r:u32(tree, f.kind)
  r:u64(tree, f.boot)
  r:u64(tree, f.token)
  local body = bodies[kind]
  local ok, said = false, nil
  if body then ok, said = pcall(body, r, tree) end
  if not ok or r.at ~= record:len() then
    tree:add_proto_expert_info(bad)
    return "not as the protocol has it"
  end
  return kinds[kind] .. (said and " " .. said or "")
end

local function is_record(range) return range:len() >= HEADER and range(0, 4):string() == "TMB1" end

local function one_record(buffer, pinfo, tree)
  local record = buffer():tvb()
  local marked = pinfo.port_type == 2
  local subtree = tree:add(mailbox, buffer())
  if marked then
    subtree:add(f.mark, buffer(0, 4))
    record = buffer(4):tvb()
  end
  local said = is_record(record()) and dissect(record, subtree) or "no record"
  subtree:append_text(": " .. said)
  pinfo.cols.protocol = "TapMail"
  if pinfo.private["tapmail_seen"] then
    pinfo.cols.info:append("; " .. said)
  else
    pinfo.cols.info = said
    pinfo.private["tapmail_seen"] = "1"
  end
  return buffer:len()
end

local function record_len(buffer, _, offset)
  local mark = buffer(offset, 4):uint()
  return 4 + (mark % LAST_FRAGMENT)
end

function mailbox.dissector(buffer, pinfo, tree)
  pinfo.private["tapmail_seen"] = nil
  if pinfo.port_type == 2 then
    return dissect_tcp_pdus(buffer, tree, 4, record_len, one_record)
  end
  if not is_record(buffer()) then return 0 end
  return one_record(buffer, pinfo, tree)
end

DissectorTable.get("udp.port"):add(PORT, mailbox)
DissectorTable.get("tcp.port"):add(PORT, mailbox)
