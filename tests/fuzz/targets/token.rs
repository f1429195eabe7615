#![no_main]

#[path = "../bodies/mod.rs"]
#[allow(dead_code, reason = "each target is one of them")]
mod bodies;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| bodies::token::fuzz(octets));
