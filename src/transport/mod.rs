//! From a host to verified octets: name, TCP, proxy, TLS; and one bounded HTTPS exchange.

pub mod resolve;
pub mod dial;
pub mod proxy;
pub mod tls;
pub mod watch;
pub mod answer;
pub mod http;
