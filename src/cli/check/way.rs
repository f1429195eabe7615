//! The rungs of the way there, as far as the server goes with anybody: what was seen, onto the rung.

use std::net::IpAddr;

use serde_json::json;

use super::notes::Noted;
use super::rung::{RUNGS, Rung};
use crate::config::Config;
use crate::outcome::Stage;

/// How many rungs have held for certain while the connection is still being opened: the index of the next one.
pub(super) fn rungs_passed(config: &Config, noted: &Noted) -> usize {
    let connected = noted.tried.iter().any(|(_, result)| matches!(result, Some(Ok(()))));
    if noted.reply(Stage::StartTls).is_some() {
        5
    } else if noted.reply(Stage::Greeting).is_some()
        || (connected && (config.egress_proxy.is_none() || noted.tunnel))
    {
        4
    } else if !noted.tried.is_empty() {
        3
    } else {
        2
    }
}

pub(super) fn dns(config: &Config, noted: &Noted) -> Rung {
    let mut rung = Rung::new(RUNGS[2]);
    if let Some((name, addresses)) = noted.names.first() {
        let list: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        rung.see(match name.parse::<IpAddr>() {
            Ok(_) => format!("{name} is an address: nothing to look up"),
            Err(_) => format!("{name} is {}", list.join(", ")),
        });
        if *name != config.upstream.host.to_ascii_lowercase() {
            rung.see(format!("that is the egress proxy: it resolves {}", config.upstream.host));
        }
        rung.fact("name", name.as_str());
        rung.fact("addresses", list);
    }
    rung
}

pub(super) fn tcp(config: &Config, noted: &Noted) -> Rung {
    let mut rung = Rung::new(RUNGS[3]);
    let mut facts = Vec::new();
    for (address, result) in &noted.tried {
        let words = match result {
            Some(Ok(())) => "connected",
            Some(Err(words)) => words,
            None => "no answer",
        };
        rung.see(format!("{address}: {words}"));
        facts.push(json!({"address": address.to_string(), "result": words}));
    }
    if noted.tunnel {
        rung.see(format!("the egress proxy has opened a tunnel to {}", config.upstream));
    }
    rung.fact("tried", facts);
    rung.fact("proxy", noted.tunnel);
    rung
}

pub(super) fn ehlo(noted: &Noted) -> Rung {
    let mut rung = Rung::new(RUNGS[4]);
    if let Some(greeting) = noted.reply(Stage::Greeting) {
        rung.see(greeting.to_string());
        rung.fact("greeting", greeting.to_string());
    }
    if let Some(address) = noted.public_address() {
        rung.see(format!("our public address is {address} (for a connector, or SPF)"));
        rung.fact("public_address", address);
    }
    rung.warnings.extend(noted.clock_is_wrong());
    rung
}

pub(super) fn starttls(noted: &Noted) -> Rung {
    let mut rung = Rung::new(RUNGS[5]);
    if noted.secured {
        let version = match noted.version {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
            _ => "TLS",
        };
        rung.see(format!("{version}, certificate and name verified"));
        rung.fact("version", version);
    }
    noted.chain_in_words().for_each(|words| rung.see(words));
    rung.fact("chain", noted.chain_for_programs());
    rung
}
