//! The tenant's memory, shared by the SMTP side and the token endpoint: credentials, tokens, what each mailbox has sent.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::json;
use time::OffsetDateTime;

use crate::door::Door;
use crate::entra::{Delegated, Issuer, Seen};
use crate::fault::{Fault, Faults};
use crate::record::Recorder;
use crate::settings::Settings;

/// What can be changed while the simulator runs.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) password: String,
    pub(crate) tenant: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) mailboxes: Vec<String>,
    pub(crate) send_as: Vec<(String, String)>,
    /// DER.
    pub(crate) certificates: Vec<Vec<u8>>,
}

struct Issued {
    ends: Instant,
    generation: u64,
    audience: bool,
}

/// What idle connections are told.
#[derive(Clone, Copy, Default)]
pub(crate) struct Orders {
    /// Raised: close.
    pub(crate) close: u64,
    /// Raised: the armed faults have changed.
    pub(crate) look: u64,
}

/// What one mailbox did, for the limits.
#[derive(Default)]
struct Sent {
    messages: VecDeque<Instant>,
    recipients: VecDeque<(Instant, u32)>,
    sending: usize,
}

pub(crate) struct Tenant {
    pub(crate) settings: Settings,
    pub(crate) faults: Faults,
    pub(crate) record: Recorder,
    pub(crate) credentials: Mutex<Credentials>,
    /// The token service's origin, once it is bound.
    pub(crate) authority: std::sync::OnceLock<String>,
    pub(crate) assertions: Seen,
    pub(crate) issuer: Issuer,
    pub(crate) delegated: Delegated,
    tokens: Mutex<HashMap<String, Issued>>,
    generation: AtomicU64,
    sent: Mutex<HashMap<String, Sent>>,
    /// Idle connections watch it.
    pub(crate) orders: tokio::sync::watch::Sender<Orders>,
    pub(crate) smtp_door: Door,
    pub(crate) https_door: Door,
    random: SystemRandom,
}

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

impl Tenant {
    pub(crate) fn new(settings: Settings) -> Tenant {
        let credentials = Credentials {
            password: settings.password.clone(),
            tenant: settings.tenant.clone(),
            client_id: settings.client_id.clone(),
            client_secret: settings.client_secret.clone(),
            mailboxes: settings.mailboxes.clone(),
            send_as: settings.send_as.clone(),
            certificates: settings.certificates.clone(),
        };
        Tenant {
            settings,
            faults: Faults::default(),
            record: Recorder::default(),
            credentials: Mutex::new(credentials),
            authority: std::sync::OnceLock::new(),
            assertions: Seen::default(),
            issuer: Issuer::new(),
            delegated: Delegated::default(),
            tokens: Mutex::default(),
            generation: AtomicU64::new(0),
            sent: Mutex::default(),
            orders: tokio::sync::watch::Sender::default(),
            smtp_door: Door::default(),
            https_door: Door::default(),
            random: SystemRandom::new(),
        }
    }

    fn random<const N: usize>(&self) -> [u8; N] {
        let mut octets = [0; N];
        self.random.fill(&mut octets).expect("the system has randomness");
        octets
    }

    /// `08DE2A6028D26C22`
    pub(crate) fn session_id(&self) -> String {
        format!("08DE{:012X}", u64::from_be_bytes(self.random()) >> 16)
    }

    pub(crate) fn uuid(&self) -> String {
        let n = u128::from_be_bytes(self.random());
        let (a, b, c, d, e) =
            (n >> 96, n >> 80 & 0xffff, n >> 64 & 0xfff, n >> 48 & 0x3fff | 0x8000, n & 0xffff_ffff_ffff);
        format!("{a:08x}-{b:04x}-4{c:03x}-{d:04x}-{e:012x}")
    }

    /// A JWT-shaped token of about 1.5 KB: for SMTP, with the role that the API permission gives, unless it is broken.
    pub(crate) fn issue_token(&self, lifetime: Duration, broken: Option<&Fault>) -> String {
        let audience = broken != Some(&Fault::TokenWrongAudience);
        let roles = match broken {
            Some(Fault::TokenWithoutRole) => json!([]),
            _ if audience => json!(["SMTP.SendAsApp"]),
            _ => json!(["Mail.Send"]),
        };
        let (tenant, client) = {
            let credentials = self.credentials.lock().unwrap();
            (credentials.tenant.clone(), credentials.client_id.clone())
        };
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let key = BASE64_URL_SAFE_NO_PAD.encode(self.random::<20>());
        let header = json!({"typ": "JWT", "nonce": self.uuid(), "alg": "RS256", "x5t": key, "kid": key});
        let claims = json!({
            "aud": if audience { "https://outlook.office365.com" } else { "https://graph.microsoft.com" },
            "iss": format!("https://sts.windows.net/{tenant}/"),
            "iat": now, "nbf": now, "exp": now + lifetime.as_secs() as i64,
            "aio": BASE64_URL_SAFE_NO_PAD.encode(self.random::<48>()),
            "app_displayname": "mailshim", "appid": client, "appidacr": "1",
            "idp": format!("https://sts.windows.net/{tenant}/"), "idtyp": "app", "oid": self.uuid(),
            "rh": BASE64_URL_SAFE_NO_PAD.encode(self.random::<60>()),
            "roles": roles,
            "sid": self.uuid(), "sub": self.uuid(), "tid": tenant,
            "uti": BASE64_URL_SAFE_NO_PAD.encode(self.random::<16>()), "ver": "1.0",
            "wids": ["0997a1d0-0d1d-4acb-b408-d5ca73121e90"],
            "xms_ftd": BASE64_URL_SAFE_NO_PAD.encode(self.random::<64>()),
        });
        let part = |value: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.random::<256>());
        let token = format!("{}.{}.{signature}", part(&header), part(&claims));
        let generation = self.generation.load(Ordering::SeqCst);
        let issued = Issued { ends: Instant::now() + lifetime, generation, audience };
        self.tokens.lock().unwrap().insert(token.clone(), issued);
        self.record.count(|stats| stats.tokens_issued += 1);
        token
    }

    /// A new refresh token, opaque as Entra's.
    pub(crate) fn give_refresh_token(&self) -> String {
        let token = format!("1.A{}", BASE64_URL_SAFE_NO_PAD.encode(self.random::<300>()));
        self.delegated.give(&token);
        token
    }

    pub(crate) fn token_is_good(&self, token: &str) -> bool {
        let tokens = self.tokens.lock().unwrap();
        let current = self.generation.load(Ordering::SeqCst);
        tokens.get(token).is_some_and(|t| t.audience && t.ends > Instant::now() && t.generation == current)
    }

    pub(crate) fn issued_tokens(&self) -> Vec<String> {
        self.tokens.lock().unwrap().keys().cloned().collect()
    }

    pub(crate) fn revoke_tokens(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// The mailbox as configured, if `user` is one.
    pub(crate) fn mailbox(&self, user: &str) -> Option<String> {
        let credentials = self.credentials.lock().unwrap();
        credentials.mailboxes.iter().find(|m| m.eq_ignore_ascii_case(user)).cloned()
    }

    pub(crate) fn may_send_as(&self, mailbox: &str, sender: &str) -> bool {
        let granted = |(m, other): &(String, String)| {
            m.eq_ignore_ascii_case(mailbox) && other.eq_ignore_ascii_case(sender)
        };
        mailbox.eq_ignore_ascii_case(sender) || self.credentials.lock().unwrap().send_as.iter().any(granted)
    }

    fn sent<R>(&self, mailbox: &str, with: impl FnOnce(&mut Sent) -> R) -> R {
        let mut all = self.sent.lock().unwrap();
        if !all.contains_key(mailbox) {
            all.insert(mailbox.to_owned(), Sent::default());
        }
        with(all.get_mut(mailbox).unwrap())
    }

    /// Whether another message may begin now; counts it as begun if so.
    pub(crate) fn rate_allows(&self, mailbox: &str) -> bool {
        let Some(limit) = self.settings.messages_per_minute else {
            return true;
        };
        self.sent(mailbox, |sent| {
            let now = Instant::now();
            while sent.messages.front().is_some_and(|at| now.duration_since(*at) >= MINUTE) {
                sent.messages.pop_front();
            }
            let allowed = sent.messages.len() < limit as usize;
            if allowed {
                sent.messages.push_back(now);
            }
            allowed
        })
    }

    /// Whether these recipients are within the day's quota; counts them if so.
    pub(crate) fn quota_allows(&self, mailbox: &str, recipients: usize) -> bool {
        let Some(limit) = self.settings.recipients_per_day else {
            return true;
        };
        self.sent(mailbox, |sent| {
            let now = Instant::now();
            while sent.recipients.front().is_some_and(|(at, _)| now.duration_since(*at) >= DAY) {
                sent.recipients.pop_front();
            }
            let used: u32 = sent.recipients.iter().map(|(_, n)| n).sum();
            let allowed = used + recipients as u32 <= limit;
            if allowed {
                sent.recipients.push_back((now, recipients as u32));
            }
            allowed
        })
    }

    /// A transaction begins or ends; whether it is within `max_connections`.
    pub(crate) fn sending(&self, mailbox: &str, begins: bool) -> bool {
        self.record.sending(mailbox, begins);
        let Some(limit) = self.settings.max_connections else {
            return true;
        };
        self.sent(mailbox, |sent| {
            sent.sending = if begins { sent.sending + 1 } else { sent.sending - 1 };
            sent.sending <= limit
        })
    }
}
