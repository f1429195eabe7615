//! What the way there means: name, TCP, egress proxy, TLS.

use super::fault::{ProxyFault, Stage, TlsFault, TlsReason};
use super::ruling::{Retry, Ruling, Scope, set_up, transient};

/// No answer, a closed connection, or the operating system's words.
pub(super) const fn interrupted(stage: Stage, retry: Retry) -> Ruling {
    let ruling = match stage {
        Stage::Resolve => Ruling {
            hint: "Check DNS inside the container: the upstream's name must resolve.",
            ..transient("name_not_resolved", (4, 3))
        },
        Stage::Connect => Ruling {
            hint: "Open outbound TCP port 587 to the upstream, or set MAILSHIM_EGRESS_PROXY.",
            ..transient("not_reached", (4, 1))
        },
        Stage::Tls => Ruling {
            scope: Scope::Connection,
            hint: "If it lasts, let the firewall pass port 587 without TLS inspection.",
            ..transient("tls_interrupted", (4, 2))
        },
        _ => Ruling { scope: Scope::Connection, ..transient("connection_lost", (4, 2)) },
    };
    Ruling { retry, ..ruling }
}

/// A handshake that fails for what the peer is will fail again within seconds, so none of these is tried again.
pub(super) const fn tls(fault: &TlsFault) -> Ruling {
    use TlsReason::{Certificate, Expired, NoName, NotYetValid, UnknownIssuer, WrongName};
    match fault {
        TlsFault::Alert(alert) | TlsFault::Handshake { reason: TlsReason::Alert(alert), .. }
            if alert.is_about_our_certificate =>
        {
            Ruling {
                hint: "Give a certificate of a public CA for an accepted domain, with all its intermediates, in MAILSHIM_TLS_CERT_FILE.",
                ..set_up("client_certificate", (7, 5))
            }
        }
        TlsFault::Handshake {
            reason:
                UnknownIssuer | WrongName { .. } | Expired { .. } | NotYetValid { .. } | Certificate(_) | NoName,
            ..
        } => Ruling {
            hint: "Let the firewall pass port 587 without TLS inspection, or give its root in MAILSHIM_CA_FILE; check the clock.",
            ..set_up("certificate", (7, 5))
        },
        TlsFault::Alert(_) | TlsFault::Handshake { .. } => Ruling {
            hint: "If it lasts, let the firewall pass port 587 without TLS inspection; run mailshim check.",
            ..transient("tls", (7, 5))
        },
    }
}

/// The egress proxy, on the way to Office 365 or to the token service.
pub(super) const fn egress_proxy(fault: &ProxyFault) -> Ruling {
    if fault.is_set_up() {
        return Ruling {
            hint: "Check user name and password in MAILSHIM_EGRESS_PROXY, and let the proxy allow CONNECT to smtp.office365.com:587 and login.microsoftonline.com:443.",
            ..set_up("egress_proxy_refused", (7, 0))
        };
    }
    Ruling {
        hint: "Check the address in MAILSHIM_EGRESS_PROXY, and what the proxy itself can reach.",
        retry: Retry::Again,
        ..transient("egress_proxy", (4, 1))
    }
}
