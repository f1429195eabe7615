//! Why a rung failed, in plain words, and what to do. `outcome::judge` has the hints that need nothing but the fault; what
//! stands here needs what was seen on the way, or the configuration.

use std::time::Duration;

use super::exchange::exchange;
use super::known::Known;
use super::notes::{Certificate, Noted};
use super::rung::Advice;
use super::token::Federated;
use crate::config::Config;
use crate::identity::sign_in::{SignIn, TokenSource};
use crate::outcome::{
    Cause, Class, Context, Fault, Judgement, ProxyReason, Stage, TlsFault, TlsReason, TokenFault,
    WithoutAdvice, judge,
};
use crate::smtp::reply::{BrokenReply, Flaw, Reply};
use crate::transport::tls;
use crate::upstream::connector::Connector;

/// Cause and fix, with the commands for it.
pub(super) fn advise(fault: &Fault, known: &Known<'_>) -> Advice {
    let mailbox = known.config.identity.mailbox.to_string();
    let context = Context { from_is_ours: true, mailbox: &mailbox, spool: false };
    let judgement = judge(fault, &context);
    let advice = exchange(judgement.rule, fault, known).unwrap_or_else(|| in_words(fault, judgement, known));
    Advice { fix: advice.fix.map(|fix| in_force(&fix, known.names)), ..advice }
}

/// With each variable called as the operator has called it.
fn in_force(words: &str, names: &[(&'static str, String)]) -> String {
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let (mut said, mut rest) = (String::new(), words);
    while let Some(begin) = rest.find(is_name) {
        let end = rest[begin..].find(|c| !is_name(c)).map_or(rest.len(), |end| begin + end);
        let name = &rest[begin..end];
        said.push_str(&rest[..begin]);
        said.push_str(names.iter().find(|(known, _)| *known == name).map_or(name, |(_, called)| called));
        rest = &rest[end..];
    }
    said + rest
}

fn in_words(fault: &Fault, judgement: Judgement, known: &Known<'_>) -> Advice {
    // What the log's sentence goes on to advise is advised below, with the name of the authority.
    let said = WithoutAdvice(fault).to_string();
    let (why, fix) = match fault.stage() {
        Stage::Resolve => resolve(known),
        Stage::Connect => connect(fault, known),
        Stage::Greeting => greeting(fault, known),
        Stage::StartTls => start_tls(fault, known),
        Stage::Tls => tls_failed(fault, &known.upstream, known.config),
        Stage::Token => token(fault, known),
        Stage::Auth => auth(fault, known),
        _ => (None, None),
    };
    let cause = match why {
        Some(why) => format!("{said}: {why}"),
        None => said,
    };
    // The hints are for the app's reply and the log, whose readers have not come here yet.
    let hint = match judgement.rule {
        "sign_in_refused" | "not_authenticated" | "mailbox_logon" => Some(RIGHT.to_string()),
        _ => judgement.hint,
    };
    let hint = hint
        .map(|hint| hint.replace("; run mailshim check", "").replace("Run mailshim check, and look", "Look"));
    let wait = || matches!(judgement.class, Class::Transient | Class::Throttled(_)).then(|| WAIT.to_string());
    Advice { cause, fix: fix.or(hint).or_else(wait), commands: Vec::new() }
}

const RIGHT: &str = "Check the credentials, MAILSHIM_MAILBOX, and the application's right to that mailbox, for which mailshim setup prints the commands; a new grant takes up to 2 hours.";
/// IMDS and its like are asked by HTTP on the machine itself: no firewall and no proxy is in between.
const MANAGED: &str = "A managed identity's tokens come from Azure's own machine: give it an identity (system, or the client id in MAILSHIM_MANAGED_IDENTITY). In AKS use workload identity; elsewhere a client secret or certificate.";
const WAIT: &str = "Try again in a few minutes; if it lasts, look at the service health (Microsoft 365 admin center > Health).";

type Refined = (Option<String>, Option<String>);

const fn nothing() -> Refined {
    (None, None)
}

fn fix(words: impl Into<String>) -> Refined {
    (None, Some(words.into()))
}

fn both(why: impl Into<String>, fix: impl Into<String>) -> Refined {
    (Some(why.into()), Some(fix.into()))
}

fn resolve(known: &Known<'_>) -> Refined {
    let host = &known.config.upstream.host;
    match &known.config.egress_proxy {
        Some(proxy) if !proxy.exceptions.hold(host) => {
            fix("Correct the host in MAILSHIM_EGRESS_PROXY, or the DNS inside the container.")
        }
        _ if *host != cloud_host(known.config) => fix(format!(
            "Correct MAILSHIM_UPSTREAM ({host}; Office 365's is {}), or the DNS inside the container.",
            known.config.cloud.upstream
        )),
        _ => nothing(),
    }
}

fn cloud_host(config: &Config) -> &str {
    config.cloud.upstream.split(':').next().unwrap_or_default()
}

/// Submission's port, and the one of connectors.
const fn is_usual(port: u16) -> bool {
    matches!(port, 25 | 587)
}

fn connect(fault: &Fault, known: &Known<'_>) -> Refined {
    if let Cause::Proxy(proxy) = fault.cause() {
        return match proxy.reason {
            ProxyReason::NotReached(_) => fix("Correct host and port in MAILSHIM_EGRESS_PROXY."),
            _ => nothing(),
        };
    }
    let upstream = &known.config.upstream;
    let why = match fault.cause() {
        Cause::TimedOut(_) => "something on the way, most likely a firewall, drops what is sent to this port",
        _ => "nothing listens there, or a firewall refuses in its place",
    };
    if let Some(variable) = known.other_proxy {
        return both(
            why,
            format!(
                "{variable} is set, but mailshim does not use it: set MAILSHIM_EGRESS_PROXY, and let that proxy allow CONNECT \
                 to {upstream}; or open outbound TCP port {}.",
                upstream.port
            ),
        );
    }
    if !is_usual(upstream.port) {
        return both(
            why,
            format!(
                "Office 365 listens on port 587: correct MAILSHIM_UPSTREAM, which has port {}.",
                upstream.port
            ),
        );
    }
    if upstream.port == 25 {
        return both(
            why,
            "Use port 587 where a mailbox signs in; Azure and many providers block outbound TCP port 25.",
        );
    }
    (Some(why.to_string()), None)
}

const FIX_PORT: &str = "Set the port in MAILSHIM_UPSTREAM to 587: there the connection begins in the clear and goes over to TLS.";

fn greeting(fault: &Fault, known: &Known<'_>) -> Refined {
    if known.speaks_tls {
        return both(
            "the server waits for TLS at once, as on port 465, which Office 365 does not have",
            FIX_PORT,
        );
    }
    let usual = "Let the firewall pass port 587 without SMTP inspection";
    match fault.cause() {
        Cause::BrokenReply(BrokenReply { flaw: Flaw::Http, .. }) => both(
            "an HTTP server answers in Office 365's place",
            "Check host and port in MAILSHIM_UPSTREAM; where they are right, a captive portal or proxy answers: let it pass \
             port 587, or set MAILSHIM_EGRESS_PROXY.",
        ),
        Cause::BrokenReply(BrokenReply { flaw: Flaw::TlsAlert, .. }) => {
            both("the server speaks TLS at once", FIX_PORT)
        }
        Cause::BrokenReply(_) => {
            both("what answers is no SMTP server", "Check host and port in MAILSHIM_UPSTREAM.")
        }
        Cause::TimedOut(_) if !is_usual(known.config.upstream.port) => fix(FIX_PORT),
        Cause::TimedOut(_) => fix(format!("{usual}: the connection is there, but nothing comes through it.")),
        Cause::Closed => fix(format!(
            "{usual}; where none inspects it, too many connections come from this address: run fewer replicas."
        )),
        _ => nothing(),
    }
}

fn start_tls(fault: &Fault, known: &Known<'_>) -> Refined {
    let greeted = known.upstream.reply(Stage::Greeting).map(Reply::text).unwrap_or_default();
    if *fault.cause() == Cause::StartTlsMissing && !greeted.contains("outlook.") {
        return fix(format!(
            "Check MAILSHIM_UPSTREAM: the server does not introduce itself as Office 365; where the name is right, let the \
             firewall pass port {} without SMTP inspection.",
            known.config.upstream.port
        ));
    }
    nothing()
}

fn tls_failed(fault: &Fault, noted: &Noted, config: &Config) -> Refined {
    let Some(TlsFault::Handshake { reason, .. }) = fault.tls() else { return nothing() };
    match reason {
        TlsReason::Expired { .. } | TlsReason::NotYetValid { .. } => match noted.clock_is_wrong() {
            Some(clock) => both(clock, "Set this machine's clock right (NTP)."),
            None if noted.clocks.is_some() => fix(
                "This machine's clock agrees with the server's, so the certificate itself is out of its time: somebody else \
                 answers in Office 365's place, or a firewall inspects TLS with a certificate that must be renewed.",
            ),
            None => fix(
                "Compare this machine's clock with the true time; if it is right, somebody shows an outdated certificate: \
                 let the firewall pass this connection without TLS inspection.",
            ),
        },
        TlsReason::WrongName { .. } if config.upstream.host.parse::<std::net::IpAddr>().is_ok() => {
            fix(format!(
                "Set MAILSHIM_UPSTREAM to a name, {}: Office 365's certificate names no addresses.",
                config.cloud.upstream
            ))
        }
        TlsReason::WrongName { .. } => fix(
            "Correct the name in MAILSHIM_UPSTREAM; where it is right, DNS or a proxy leads to another server: look at \
             the addresses above.",
        ),
        TlsReason::NotTls(_) => fix(
            "Let the firewall pass port 587 without SMTP or TLS inspection: it takes STARTTLS for a command like any other.",
        ),
        TlsReason::UnknownIssuer => unknown_issuer(noted, config),
        _ => nothing(),
    }
}

fn unknown_issuer(noted: &Noted, config: &Config) -> Refined {
    let Some(Certificate { subject, issuer, .. }) = noted.chain.last() else { return nothing() };
    let who = if subject == issuer {
        format!("it is signed by itself ({subject})")
    } else {
        format!("its chain ends at {issuer}")
    };
    let file = if config.ca_file.is_some() {
        "add that root certificate (PEM) to the file of MAILSHIM_CA_FILE, which does not hold it"
    } else {
        "put that root certificate (PEM) into a file and name it in MAILSHIM_CA_FILE"
    };
    both(
        who,
        format!(
            "If that is a firewall or proxy of yours which inspects TLS, {file}, or exempt this host from inspection; if \
             nobody knows it, somebody else answers in Office 365's place."
        ),
    )
}

/// No federated credential fits: at all; by issuer, subject, audience.
const NO_FEDERATION: [u32; 4] = [70021, 700_211, 700_212, 700_213];

fn token(fault: &Fault, known: &Known<'_>) -> Refined {
    let Cause::Token(cause) = fault.cause() else { return nothing() };
    let is_managed = matches!(known.config.identity.sign_in, SignIn::Token(TokenSource::Managed(_)));
    match cause {
        TokenFault::Status { .. }
        | TokenFault::NotReached { .. }
        | TokenFault::Unreachable(_)
        | TokenFault::TimedOut(_)
        | TokenFault::Garbage(_)
            if is_managed =>
        {
            fix(MANAGED.to_string())
        }
        TokenFault::Refused { codes, .. } if codes.iter().any(|code| NO_FEDERATION.contains(code)) => {
            Federated::of(known.config).map_or_else(nothing, |pod| {
                fix(format!(
                    "Make the federated credential of the App registration (Certificates & secrets > Federated credentials) \
                     say to the letter what the pod's token says: issuer {}, subject {}, audience {}.",
                    pod.issuer, pod.subject, pod.audience
                ))
            })
        }
        TokenFault::Refused { codes, .. } => match known.token.clock_is_wrong() {
            // An assertion outside of its time.
            Some(clock) if codes.contains(&700_024) => both(clock, "Set this machine's clock right (NTP)."),
            _ => nothing(),
        },
        TokenFault::NotReached { .. } | TokenFault::Unreachable(_) | TokenFault::TimedOut(_) => {
            let refined = tls_failed(fault, &known.token, known.config);
            match known.other_proxy {
                Some(variable) if refined.1.is_none() && known.config.egress_proxy.is_none() => fix(format!(
                    "{variable} is set, but mailshim does not use it: set MAILSHIM_EGRESS_PROXY, or open outbound HTTPS to \
                     the token service."
                )),
                _ => refined,
            }
        }
        TokenFault::Status { .. } | TokenFault::Proxy(_) | TokenFault::Garbage(_) => nothing(),
    }
}

fn auth(fault: &Fault, known: &Known<'_>) -> Refined {
    let Cause::Refused(reply) = fault.cause() else { return nothing() };
    // Where Office 365 says more than "unsuccessful", its own words decide.
    let is_bare = reply.code == 535 && reply.enhanced().is_some_and(|code| (code.1, code.2) == (7, 3));
    if is_bare && matches!(known.config.identity.sign_in, SignIn::Password(_)) {
        return fix(format!(
            "Check MAILSHIM_MAILBOX and MAILSHIM_PASSWORD, and that SMTP AUTH is on: Set-CASMailbox {} \
             -SmtpClientAuthenticationDisabled $false. Do not try often: the account is locked. Better sign in with OAuth: \
             MAILSHIM_TENANT_ID, MAILSHIM_CLIENT_ID and MAILSHIM_CLIENT_SECRET.",
            known.config.identity.mailbox
        ));
    }
    let Some(claims) = known.claims.as_ref().filter(|_| is_bare) else { return nothing() };
    if let Some(aud) = claims.wrong_audience() {
        return both(
            format!("the token is for {aud}"),
            match known.config.cloud.app_scope {
                Some(scope) => format!("Take MAILSHIM_OAUTH_SCOPE away, or set it to {scope}."),
                None => "Take MAILSHIM_OAUTH_SCOPE away.".to_string(),
            },
        );
    }
    nothing()
}

/// Whether the port answers a TLS hello, as port 465 does: nothing but the hello is sent, and the handshake's own checks
/// hold.
pub(super) async fn answers_tls(connector: &Connector, within: Duration) -> bool {
    let Ok(wire) = connector.dialer.connect(&connector.host, connector.port).await else { return false };
    match tls::handshake(&connector.tls, &connector.host, wire, within).await {
        Ok(_) => true,
        // A certificate was shown, or an alert sent: it is TLS in any case.
        Err(fault) => {
            use TlsReason::{NoName, NotTls};
            let is_none =
                |tls: &TlsFault| matches!(tls, TlsFault::Handshake { reason: NoName | NotTls(_), .. });
            fault.tls().is_some_and(|tls| !is_none(tls))
        }
    }
}

/// Whether a greeting that failed so is worth that question.
pub(super) const fn may_be_tls(fault: &Fault) -> bool {
    matches!(fault.stage(), Stage::Greeting) && matches!(fault.cause(), Cause::TimedOut(_) | Cause::Closed)
}

/// What the sign-in is, in words.
pub(super) fn sign_in(config: &Config) -> &'static str {
    match &config.identity.sign_in {
        SignIn::Token(_) => "AUTH XOAUTH2",
        SignIn::Password(_) => "AUTH LOGIN with the mailbox's password",
        SignIn::None => "no sign-in: a connector knows us by address or certificate",
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn config(upstream: &str) -> Config {
        let vars = [
            ("MAILSHIM_MAILBOX", "app@contoso.com"),
            ("MAILSHIM_PASSWORD", "p"),
            ("MAILSHIM_UPSTREAM", upstream),
        ];
        Config::from_env(vars.map(|(name, value)| (name.into(), value.into()))).unwrap()
    }

    fn advice(upstream: &str, stage: Stage, cause: Cause, other_proxy: Option<&'static str>) -> String {
        let config = config(upstream);
        let (upstream, token) = (Noted::default(), Noted::default());
        let known = Known {
            config: &config,
            upstream,
            token,
            claims: None,
            other_proxy,
            names: &[],
            speaks_tls: false,
        };
        let advice = advise(&Fault::new(stage, cause), &known);
        format!("{} | {}", advice.cause, advice.fix.unwrap_or_default())
    }

    /// No test can make a firewall that drops.
    #[test]
    fn a_port_that_is_blocked() {
        let silence = || Cause::TimedOut(Duration::from_secs(15));
        let why = "no answer within 15 s while connecting: something on the way, most likely a firewall, drops what is sent to this port | ";
        for (upstream, other_proxy, fix) in [
            (
                "smtp.office365.com:587",
                None,
                "Open outbound TCP port 587 to the upstream, or set MAILSHIM_EGRESS_PROXY.",
            ),
            (
                "smtp.office365.com:587",
                Some("HTTPS_PROXY"),
                "HTTPS_PROXY is set, but mailshim does not use it: set MAILSHIM_EGRESS_PROXY, and let that proxy allow \
                 CONNECT to smtp.office365.com:587; or open outbound TCP port 587.",
            ),
            (
                "contoso-com.mail.protection.outlook.com:25",
                None,
                "Use port 587 where a mailbox signs in; Azure and many providers block outbound TCP port 25.",
            ),
            (
                "smtp.office365.com:465",
                None,
                "Office 365 listens on port 587: correct MAILSHIM_UPSTREAM, which has port 465.",
            ),
        ] {
            assert_eq!(advice(upstream, Stage::Connect, silence(), other_proxy), format!("{why}{fix}"));
        }
    }

    #[test]
    fn variables_are_called_as_they_were_set() {
        let names = [("MAILSHIM_CLIENT_SECRET", "the file of MAILSHIM_CLIENT_SECRET_FILE".to_string())];
        let said = in_force("Set MAILSHIM_CLIENT_SECRET, not MAILSHIM_CLIENT_SECRETS; TLS.", &names);
        assert_eq!(said, "Set the file of MAILSHIM_CLIENT_SECRET_FILE, not MAILSHIM_CLIENT_SECRETS; TLS.");
    }

    #[test]
    fn silence_on_the_right_port_is_a_firewall() {
        let said =
            advice("smtp.office365.com:587", Stage::Greeting, Cause::TimedOut(Duration::from_secs(30)), None);
        assert!(said.ends_with("| Let the firewall pass port 587 without SMTP inspection: the connection is there, but nothing comes through it."), "{said}");
    }

    #[test]
    fn a_wrong_clock_is_told_where_a_certificate_is_out_of_its_time() {
        let config = config("smtp.office365.com:587");
        let reason = TlsReason::NotYetValid { wait: Duration::from_secs(259_200) };
        let tls = TlsFault::Handshake { host: "x".into(), reason };
        let fault = Fault::new(Stage::Tls, Cause::Tls(tls));
        let fix = |behind| {
            let now = SystemTime::now();
            let noted = Noted { clocks: Some((now + Duration::from_secs(behind), now)), ..Noted::default() };
            tls_failed(&fault, &noted, &config)
        };
        let (why, what) = fix(259_200);
        assert_eq!(why.as_deref(), Some("this machine's clock is 3 days behind the server's"));
        assert_eq!(what.as_deref(), Some("Set this machine's clock right (NTP)."));
        assert!(fix(0).1.is_some_and(|fix| fix.contains("agrees with the server's")));
    }
}
