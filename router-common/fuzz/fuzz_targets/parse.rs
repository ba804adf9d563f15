#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = router_common_fuzz::parse(data);
});
