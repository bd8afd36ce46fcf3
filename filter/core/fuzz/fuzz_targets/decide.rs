#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| serinus_core_fuzz::decide(data));
