//! What can go wrong, by name. A fault waits until its moment comes, is used up as often as [`Times`] says, and leaves
//! everything else as it was.

use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A moment of the SMTP dialogue, in the order of the wire. Unless said otherwise: the command has come, its reply has not gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The TCP connection has just been accepted.
    Connect,
    /// The greeting is due.
    Greeting,
    /// EHLO or HELO before TLS.
    Ehlo,
    /// STARTTLS.
    StartTls,
    /// After the 220, when the first octets of the ClientHello have come.
    Handshake,
    /// EHLO under TLS.
    Ehlo2,
    /// The credentials have come; the verdict is due.
    Auth,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA; the 354 is due.
    Data354,
    /// Part of the content has come (DATA or BDAT), more is to come.
    Content,
    /// A BDAT chunk that is not the last has come whole.
    Chunk,
    /// All content has come (the dot, or BDAT LAST); nothing has been accepted.
    Dot,
    /// All content has come and the mail *is* taken; the reply has not gone.
    Accepted,
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// QUIT.
    Quit,
}

impl Stage {
    /// The end of the content under its BDAT name.
    pub const LAST: Stage = Stage::Dot;
}

const STAGES: [(&str, Stage); 18] = [
    ("connect", Stage::Connect),
    ("greeting", Stage::Greeting),
    ("ehlo", Stage::Ehlo),
    ("starttls", Stage::StartTls),
    ("handshake", Stage::Handshake),
    ("ehlo2", Stage::Ehlo2),
    ("auth", Stage::Auth),
    ("mail", Stage::Mail),
    ("rcpt", Stage::Rcpt),
    ("data", Stage::Data354),
    ("content", Stage::Content),
    ("chunk", Stage::Chunk),
    ("dot", Stage::Dot),
    ("last", Stage::Dot),
    ("accepted", Stage::Accepted),
    ("rset", Stage::Rset),
    ("noop", Stage::Noop),
    ("quit", Stage::Quit),
];

impl FromStr for Stage {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        let found = STAGES.iter().find(|(n, _)| *n == name);
        let names = || STAGES.map(|(n, _)| n).join(", ");
        found.map(|(_, stage)| *stage).ok_or_else(|| format!("no stage '{name}'; there are: {}", names()))
    }
}

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// TCP FIN, without close_notify.
    DropAt(Stage),
    /// TCP RST.
    ResetAt(Stage),
    /// This reply instead of the ordinary one; `\n` separates lines, each with its code. A 421 also ends the connection.
    /// 2xx and 3xx keep their ordinary effect.
    ReplyAt(Stage, String),
    /// The ordinary reply, late.
    DelayAt(Stage, Duration),
    /// No reply ever; the connection stays.
    StallAt(Stage),
    /// Half of the ordinary reply, then FIN.
    HalfReplyAt(Stage),
    /// The ordinary reply, one octet per write.
    TrickleAt(Stage),
    /// The ordinary reply, an octet every 100 ms: a client that counts silence alone waits for all of it.
    DripAt(Stage),
    /// The ordinary reply twice, in one write: from here on the server is one reply ahead.
    ExtraReplyAt(Stage),
    /// close_notify and TCP FIN; what the client still sends is read until it leaves.
    HalfCloseAt(Stage),
    /// Octets that are no SMTP reply; the connection stays, the command has no effect.
    GarbageAt(Stage),
    /// `250-a` and `550 b` as one reply.
    MixedCodesAt(Stage),
    /// The 554 SendAsDenied with 2 KB of diagnostics.
    BigReplyAt(Stage),
    /// Continuation lines until the client leaves.
    EndlessReplyAt(Stage),
    /// STARTTLS is not offered, and not known.
    StartTlsAbsent,
    /// STARTTLS is offered and refused with 454 4.7.0.
    StartTlsRefused,
    /// As by a middlebox: `XXXXXXXX` in EHLO's reply, 500 on STARTTLS.
    StartTlsStripped,
    /// A plaintext `250 injected` in the segment of STARTTLS's 220.
    InjectAfterStartTls,
    /// An HTTP answer instead of a greeting.
    HttpInsteadOfSmtp,
    /// A BDAT after a refused MAIL or RCPT is answered 503 and its octets are then read as commands.
    ChunkNotSwallowed,
    /// 354 although every RCPT was refused.
    UnwantedData354,
    /// Idle connections end after this long: FIN, no 421, no close_notify.
    StaleIdle(Duration),
    /// Idle connections end after this long with 421 4.4.1 and close_notify.
    TimeoutIdle(Duration),
    /// An idle connection is no longer read from, and stays open.
    BlackholeIdle,
    /// QUIT is not answered; the connection stays.
    QuitIgnored,
    /// Octets that are no TLS record instead of a ServerHello.
    TlsGarbage,
    /// XOAUTH2 is answered with a 334 and base64 JSON, then (after the empty line) 535.
    XoauthChallenge,
    /// An error in Entra's JSON.
    TokenError {
        /// HTTP status.
        status: u16,
        /// `error`.
        error: String,
        /// AADSTS number.
        code: u32,
        /// Text after `AADSTSnnn: `.
        description: String,
    },
    /// 429 or 503 with Retry-After.
    TokenRetryAfter {
        /// HTTP status.
        status: u16,
        /// Seconds in Retry-After.
        seconds: u64,
    },
    /// 5xx with an HTML body.
    Token5xx(u16),
    /// 200 with a body that is no JSON.
    TokenGarbage,
    /// 200 with JSON that has no access_token.
    TokenMissing,
    /// No answer ever.
    TokenStall,
    /// An answer after this long.
    TokenDelay(Duration),
    /// 200 with a body that never ends.
    TokenEndless,
    /// 200 with one header of a megabyte.
    TokenHugeHeader,
    /// The connection is closed instead of an answer.
    TokenDrop,
    /// TCP RST instead of the TLS handshake.
    TokenReset,
    /// The ordinary answer, its body an octet every 100 ms.
    TokenDrip,
    /// The ordinary answer's body, and the same once more behind it.
    TokenTwice,
    /// 302 to another path of the same endpoint (where a request is counted as a violation).
    TokenRedirect,
    /// The token is for another audience: AUTH refuses it with 535 5.7.3.
    TokenWrongAudience,
    /// The token has no role: RBAC for Applications, or the consent is missing. It is taken all the same.
    TokenWithoutRole,
    /// The token's `expires_in` is this instead of the setting; it does expire then.
    TokenLifetime(Duration),
}

fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 =
        text[..split].parse().map_err(|_| format!("no duration: '{text}' (use 200ms, 5s, 2m)"))?;
    match &text[split..] {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        _ => Err(format!("no duration: '{text}' (use 200ms, 5s, 2m)")),
    }
}

impl FromStr for Fault {
    type Err = String;

    /// `drop-at=mail`, `reply-at=dot=554 5.2.2 mailbox full`, `delay-at=dot=5s`, `token-5xx=503`, `stale-idle=2s`, …
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rest) = text.split_once('=').unwrap_or((text, ""));
        let (first, second) = rest.split_once('=').unwrap_or((rest, ""));
        let number = |s: &str| s.parse::<u64>().map_err(|_| format!("'{text}': '{s}' is no number"));
        let status = |s: &str| s.parse::<u16>().map_err(|_| format!("'{text}': '{s}' is no HTTP status"));
        Ok(match name {
            "drop-at" => Fault::DropAt(first.parse()?),
            "reset-at" => Fault::ResetAt(first.parse()?),
            "reply-at" if second.is_empty() => {
                return Err(format!("'{text}': which reply? reply-at=STAGE=TEXT"));
            }
            "reply-at" => Fault::ReplyAt(first.parse()?, second.replace("\\n", "\n")),
            "delay-at" => Fault::DelayAt(first.parse()?, duration(second)?),
            "stall-at" => Fault::StallAt(first.parse()?),
            "half-reply-at" => Fault::HalfReplyAt(first.parse()?),
            "trickle-at" => Fault::TrickleAt(first.parse()?),
            "drip-at" => Fault::DripAt(first.parse()?),
            "extra-reply-at" => Fault::ExtraReplyAt(first.parse()?),
            "half-close-at" => Fault::HalfCloseAt(first.parse()?),
            "garbage-at" => Fault::GarbageAt(first.parse()?),
            "mixed-codes-at" => Fault::MixedCodesAt(first.parse()?),
            "big-reply-at" => Fault::BigReplyAt(first.parse()?),
            "endless-reply-at" => Fault::EndlessReplyAt(first.parse()?),
            "starttls-absent" => Fault::StartTlsAbsent,
            "starttls-refused" => Fault::StartTlsRefused,
            "starttls-stripped" => Fault::StartTlsStripped,
            "inject-after-starttls" => Fault::InjectAfterStartTls,
            "http-instead-of-smtp" => Fault::HttpInsteadOfSmtp,
            "chunk-not-swallowed" => Fault::ChunkNotSwallowed,
            "unwanted-data-354" => Fault::UnwantedData354,
            "stale-idle" => Fault::StaleIdle(duration(first)?),
            "timeout-idle" => Fault::TimeoutIdle(duration(first)?),
            "blackhole-idle" => Fault::BlackholeIdle,
            "quit-ignored" => Fault::QuitIgnored,
            "tls-garbage" => Fault::TlsGarbage,
            "xoauth-challenge" => Fault::XoauthChallenge,
            "token-error" => {
                let parts: Vec<&str> = rest.splitn(4, ',').collect();
                let [http, error, code, description] = parts[..] else {
                    return Err(format!("'{text}': token-error=STATUS,ERROR,CODE,DESCRIPTION"));
                };
                let code = number(code)? as u32;
                Fault::TokenError {
                    status: status(http)?,
                    error: error.into(),
                    code,
                    description: description.into(),
                }
            }
            "token-retry-after" => {
                Fault::TokenRetryAfter { status: status(first)?, seconds: number(second)? }
            }
            "token-5xx" => Fault::Token5xx(status(first)?),
            "token-garbage" => Fault::TokenGarbage,
            "token-missing" => Fault::TokenMissing,
            "token-stall" => Fault::TokenStall,
            "token-delay" => Fault::TokenDelay(duration(first)?),
            "token-endless" => Fault::TokenEndless,
            "token-huge-header" => Fault::TokenHugeHeader,
            "token-drop" => Fault::TokenDrop,
            "token-reset" => Fault::TokenReset,
            "token-drip" => Fault::TokenDrip,
            "token-twice" => Fault::TokenTwice,
            "token-redirect" => Fault::TokenRedirect,
            "token-wrong-audience" => Fault::TokenWrongAudience,
            "token-without-role" => Fault::TokenWithoutRole,
            "token-lifetime" => Fault::TokenLifetime(duration(first)?),
            _ => return Err(format!("no fault '{name}'")),
        })
    }
}

impl Fault {
    /// The stage of a fault that has one.
    pub fn stage(&self) -> Option<Stage> {
        match self {
            Fault::DropAt(s)
            | Fault::ResetAt(s)
            | Fault::ReplyAt(s, _)
            | Fault::DelayAt(s, _)
            | Fault::StallAt(s) => Some(*s),
            Fault::HalfReplyAt(s) | Fault::TrickleAt(s) | Fault::GarbageAt(s) | Fault::MixedCodesAt(s) => {
                Some(*s)
            }
            Fault::BigReplyAt(s) | Fault::EndlessReplyAt(s) => Some(*s),
            Fault::DripAt(s) | Fault::ExtraReplyAt(s) | Fault::HalfCloseAt(s) => Some(*s),
            _ => None,
        }
    }

    /// Whether it concerns the token endpoint.
    pub fn is_token(&self) -> bool {
        matches!(
            self,
            Fault::TokenError { .. }
                | Fault::TokenRetryAfter { .. }
                | Fault::Token5xx(_)
                | Fault::TokenGarbage
                | Fault::TokenMissing
                | Fault::TokenStall
                | Fault::TokenDelay(_)
                | Fault::TokenEndless
                | Fault::TokenHugeHeader
                | Fault::TokenDrop
                | Fault::TokenDrip
                | Fault::TokenTwice
                | Fault::TokenRedirect
                | Fault::TokenWrongAudience
                | Fault::TokenWithoutRole
                | Fault::TokenLifetime(_)
        )
    }
}

/// How often a fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// The next time only.
    Once,
    /// The next n times.
    Times(u32),
    /// Until [`crate::Office365::clear_faults`].
    Always,
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Times::Once => f.write_str("once"),
            Times::Times(n) => write!(f, "{n} times"),
            Times::Always => f.write_str("always"),
        }
    }
}

/// The faults that wait for their moment.
#[derive(Default)]
pub(crate) struct Faults {
    armed: Mutex<Vec<(Fault, Times)>>,
    // Read on every command of a benchmark: the lock is only taken when something is armed.
    count: AtomicUsize,
}

impl Faults {
    pub(crate) fn arm(&self, fault: Fault, times: Times) {
        if times == Times::Times(0) {
            return;
        }
        let mut armed = self.armed.lock().unwrap();
        armed.push((fault, times));
        self.count.store(armed.len(), Ordering::Release);
    }

    pub(crate) fn clear(&self) {
        let mut armed = self.armed.lock().unwrap();
        armed.clear();
        self.count.store(0, Ordering::Release);
    }

    /// Uses up and returns the first fault that `wanted` accepts.
    pub(crate) fn take(&self, wanted: impl Fn(&Fault) -> bool) -> Option<Fault> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut armed = self.armed.lock().unwrap();
        let at = armed.iter().position(|(fault, _)| wanted(fault))?;
        let fault = armed[at].0.clone();
        match armed[at].1 {
            Times::Always => {}
            Times::Times(n) if n > 1 => armed[at].1 = Times::Times(n - 1),
            Times::Once | Times::Times(_) => {
                armed.remove(at);
            }
        }
        self.count.store(armed.len(), Ordering::Release);
        Some(fault)
    }

    /// The first fault that `wanted` accepts; it stays armed.
    pub(crate) fn peek(&self, wanted: impl Fn(&Fault) -> bool) -> Option<Fault> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.armed.lock().unwrap().iter().map(|(fault, _)| fault).find(|fault| wanted(fault)).cloned()
    }

    pub(crate) fn at(&self, stage: Stage) -> Option<Fault> {
        self.take(|fault| fault.stage() == Some(stage))
    }

    pub(crate) fn is(&self, fault: &Fault) -> bool {
        self.take(|f| f == fault).is_some()
    }
}
