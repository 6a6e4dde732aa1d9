-- ATM cells in Ethernet frames (RFC 4717, N:1 without control word) on the lab's
-- phone lines: cells with VPI/VCI, AAL5 put together with its CRC checked, and all
-- that is inside; and the modems' own signals (ethertype 0x88b5).
--
-- tshark -X lua_script:netns-scripts/wireshark/atm-n1.lua -r capture.pcapng
-- Wireshark: copy this file into the folder of personal Lua plugins (Help, About, Folders).

local atm = Proto("pj_atm", "ATM cells, N:1 (RFC 4717)")
local adsl = Proto("pj_adsl", "ADSL line signals (packet-journey)")

local f = {
    label = ProtoField.uint32("pj_atm.label", "Label"),
    way = ProtoField.string("pj_atm.way", "Direction"),
    cells = ProtoField.uint16("pj_atm.cells", "Cells"),
    cell = ProtoField.bytes("pj_atm.cell", "Cell"),
    gfc = ProtoField.uint8("pj_atm.gfc", "GFC"),
    vpi = ProtoField.uint16("pj_atm.vpi", "VPI"),
    vci = ProtoField.uint16("pj_atm.vci", "VCI"),
    pti = ProtoField.uint8("pj_atm.pti", "Payload type"),
    last = ProtoField.bool("pj_atm.end", "Last cell of a PDU"),
    clp = ProtoField.uint8("pj_atm.clp", "Cell loss priority"),
    hec = ProtoField.uint8("pj_atm.hec", "HEC (not carried, worked out)", base.HEX),
    length = ProtoField.uint16("pj_atm.aal5.length", "AAL5 length"),
    pad = ProtoField.uint16("pj_atm.aal5.pad", "AAL5 padding"),
    crc = ProtoField.uint32("pj_atm.aal5.crc", "AAL5 CRC-32", base.HEX),
    good = ProtoField.bool("pj_atm.aal5.crc_good", "AAL5 CRC is right"),
    pdu_cells = ProtoField.uint16("pj_atm.aal5.cells", "Cells of the PDU"),
}
atm.fields = { f.label, f.way, f.cells, f.cell, f.gfc, f.vpi, f.vci, f.pti, f.last, f.clp, f.hec, f.length, f.pad, f.crc, f.good, f.pdu_cells }
local bad_crc = ProtoExpert.new("pj_atm.bad_crc", "AAL5 CRC is wrong", expert.group.CHECKSUM, expert.severity.ERROR)
atm.experts = { bad_crc }

local g = {
    kind = ProtoField.uint8("pj_adsl.kind", "Signal", base.DEC, { [0] = "tones", [1] = "training", [2] = "showtime" }),
    central = ProtoField.uint8("pj_adsl.central", "Sender", base.DEC, { [0] = "subscriber's modem", [1] = "DSLAM" }),
    down = ProtoField.uint32("pj_adsl.rate_down", "Rate down, bit/s"),
    up = ProtoField.uint32("pj_adsl.rate_up", "Rate up, bit/s"),
    snr_down = ProtoField.int32("pj_adsl.snr_down", "SNR down, 1/100 dB"),
    snr_up = ProtoField.int32("pj_adsl.snr_up", "SNR up, 1/100 dB"),
    interleave = ProtoField.uint32("pj_adsl.interleave", "Interleaving, us"),
    training = ProtoField.uint32("pj_adsl.training", "Training left, ms"),
    far_cells = ProtoField.uint32("pj_adsl.far_cells", "Sender has received cells"),
    far_corrected = ProtoField.uint32("pj_adsl.far_corrected", "… headers corrected"),
    far_discarded = ProtoField.uint32("pj_adsl.far_discarded", "… cells discarded"),
    far_crc = ProtoField.uint32("pj_adsl.far_crc", "… AAL5 errors"),
}
adsl.fields = { g.kind, g.central, g.down, g.up, g.snr_down, g.snr_up, g.interleave, g.training, g.far_cells, g.far_corrected, g.far_discarded, g.far_crc }

local xor, band, shl, shr = bit32.bxor, bit32.band, bit32.lshift, bit32.rshift

-- CRC-32 of AAL5: generator 0x04c11db7, first bit first, inverted before and after.
local crc_table = {}
for i = 0, 255 do
    local c = shl(i, 24)
    for _ = 1, 8 do
        if band(c, 0x80000000) ~= 0 then c = xor(shl(c, 1), 0x04c11db7) else c = shl(c, 1) end
    end
    crc_table[i] = c
end
local function crc32(bytes, n)
    local c = 0xffffffff
    for i = 0, n - 1 do
        c = xor(shl(c, 8), crc_table[xor(shr(c, 24), bytes:get_index(i))])
    end
    return xor(c, 0xffffffff)
end

-- CRC-8 of a cell's header, x^8 + x^2 + x + 1, with the coset leader 0x55.
local function hec_of(cell)
    local c = 0
    for i = 0, 3 do
        c = xor(c, cell(i, 1):uint())
        for _ = 1, 8 do
            if band(c, 0x80) ~= 0 then c = band(xor(shl(c, 1), 7), 0xff) else c = band(shl(c, 1), 0xff) end
        end
    end
    return xor(c, 0x55)
end

-- PDUs that are under way, by interface, label and channel; and those that ended,
-- by the frame in which they did, for the second time a frame is looked at.
local open, done = {}, {}
function atm.init() open, done = {}, {} end

local number_of_interface = Field.new("frame.interface_id")
local llc = Dissector.get("llc")

function atm.dissector(tvb, pinfo, tree)
    local entry = tvb(0, 4):uint()
    local label = shr(entry, 12)
    local n = math.floor((tvb:len() - 4) / 52)
    if n < 1 then return 0 end
    pinfo.cols.protocol = "ATM"
    local way = label == 16 and "up" or label == 17 and "down" or "?"
    local top = tree:add(atm, tvb(), ("ATM cells, N:1, label %d (%s), %d cells"):format(label, way, n))
    top:add(f.label, tvb(0, 4), label)
    top:add(f.way, tvb(0, 4), way)
    top:add(f.cells, tvb(4), n)
    local where = number_of_interface()
    where = where and where.value or 0
    local first = not pinfo.visited
    local ended = done[pinfo.number] or {}
    local vpi, vci
    for i = 0, n - 1 do
        local cell = tvb(4 + 52 * i, 52)
        local h = cell(0, 4):uint()
        vpi, vci = band(shr(h, 20), 0xff), band(shr(h, 4), 0xffff)
        local pti = band(shr(h, 1), 7)
        local last = band(pti, 5) == 1
        local t = top:add(f.cell, cell):set_text(("Cell %d: %d/%d%s"):format(i + 1, vpi, vci, last and ", last of its PDU" or ""))
        t:add(f.gfc, cell(0, 1), shr(h, 28))
        t:add(f.vpi, cell(0, 2), vpi)
        t:add(f.vci, cell(1, 3), vci)
        t:add(f.pti, cell(3, 1), pti)
        t:add(f.last, cell(3, 1), last)
        t:add(f.clp, cell(3, 1), band(h, 1))
        t:add(f.hec, cell(0, 4), hec_of(cell))
        if first then
            local key = ("%d/%d/%d/%d"):format(where, label, vpi, vci)
            local pdu = open[key] or { bytes = ByteArray.new(), cells = 0 }
            pdu.bytes:append(cell(4, 48):bytes())
            pdu.cells = pdu.cells + 1
            open[key] = pdu
            if last then
                open[key] = nil
                pdu.vpi, pdu.vci = vpi, vci
                table.insert(ended, pdu)
            elseif pdu.cells > 1400 then
                open[key] = nil
            end
        end
    end
    done[pinfo.number] = #ended > 0 and ended or nil
    pinfo.cols.info = ("%d cells %s, VPI/VCI %d/%d"):format(n, way, vpi, vci)
    for _, pdu in ipairs(ended) do
        local len = pdu.bytes:len()
        local whole = pdu.bytes:tvb("AAL5 PDU")
        local sdu = whole(len - 6, 2):uint()
        local got, want = whole(len - 4, 4):uint(), crc32(pdu.bytes, len - 4)
        local t = top:add(atm, whole(), ("AAL5 PDU of %d cells, SDU of %d bytes"):format(pdu.cells, sdu))
        t:add(f.pdu_cells, whole(), pdu.cells)
        t:add(f.length, whole(len - 6, 2))
        t:add(f.pad, whole(), math.max(0, len - 8 - sdu))
        local c = t:add(f.crc, whole(len - 4, 4))
        t:add(f.good, whole(len - 4, 4), got == want)
        if got ~= want then
            c:add_proto_expert_info(bad_crc, ("AAL5 CRC is wrong, should be 0x%08x"):format(want))
        elseif sdu > 0 and sdu <= len - 8 then
            llc:call(whole(0, sdu):tvb(), pinfo, tree)
        end
    end
    return tvb:len()
end

function adsl.dissector(tvb, pinfo, tree)
    if tvb:len() < 48 or tvb(0, 4):string() ~= "ADSL" then return 0 end
    pinfo.cols.protocol = "ADSL"
    local t = tree:add(adsl, tvb(0, 48))
    local kinds = { [0] = "tones", [1] = "training", [2] = "showtime" }
    pinfo.cols.info = ("%s from the %s"):format(kinds[tvb(5, 1):uint()] or "?", tvb(6, 1):uint() == 1 and "DSLAM" or "modem")
    t:add(g.kind, tvb(5, 1))
    t:add(g.central, tvb(6, 1))
    for i, field in ipairs({ g.down, g.up, g.snr_down, g.snr_up, g.interleave, g.training, g.far_cells, g.far_corrected, g.far_discarded, g.far_crc }) do
        t:add(field, tvb(8 + 4 * (i - 1), 4))
    end
    return 48
end

DissectorTable.get("ethertype"):add(0x8847, atm)
DissectorTable.get("ethertype"):add(0x88b5, adsl)
