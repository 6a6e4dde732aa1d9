-- Loads the decoder of ATM cells with this folder as Wireshark's configuration:
-- WIRESHARK_CONFIG_DIR=netns-scripts/wireshark wireshark -C packet-journey FILE
-- Wireshark forbids this to root, who gives the decoder by -X lua_script:… instead.
if dofile ~= nil and pcall(require, "debug") then
    pcall(dofile, Dir.personal_config_path() .. "/atm-n1.lua")
end
