#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = router_ctl_fuzz::netlink(data);
});
