//! What the simulated tenant is like. The default is Exchange Online as documented, with every limit off that would
//! make an ordinary test depend on the clock.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// The certificate and the TLS versions a listener shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsSetup {
    /// A certificate for [`Settings::host_names`], issued by the simulator's own CA; TLS 1.2 and 1.3.
    #[default]
    Good,
    /// As `Good`, but issued by an intermediate that is sent along.
    Intermediate,
    /// As `Intermediate`, but the intermediate is not sent.
    MissingIntermediate,
    /// Valid, but for `wrong.example.net` only.
    WrongName,
    /// Ended in 2021.
    Expired,
    /// Begins in 2090.
    NotYetValid,
    /// Signed by its own key: no CA at all.
    SelfSigned,
    /// Issued by a CA that is not the one in [`crate::Office365::ca_pem`].
    UnknownCa,
    /// Good certificate, TLS 1.2 only.
    Tls12Only,
    /// Good certificate, TLS 1.3 only.
    Tls13Only,
}

/// A federated credential of the app registration: whose tokens are taken in place of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FederatedCredential {
    /// The cluster's OIDC issuer; it ends in a slash.
    pub issuer: String,
    /// The service account.
    pub subject: String,
    /// Whom the token is for.
    pub audience: String,
}

/// How a device code sign-in goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceFlow {
    /// So many questions are answered `authorization_pending`.
    pub pending: u32,
    /// Then this.
    pub end: DeviceEnd,
    /// The pause between questions that the client is told.
    pub interval: Duration,
}

/// How a device code sign-in ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceEnd {
    /// The person has signed in.
    Approved,
    /// The person said no.
    Declined,
    /// Nobody came.
    Expired,
}

/// How the simulator behaves. Fields are public: `Settings { chunking: false, ..Settings::default() }`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Address both listeners bind.
    pub listen: IpAddr,
    /// SMTP port; 0 picks a free one.
    pub smtp_port: u16,
    /// HTTPS port of the token endpoint; 0 picks a free one.
    pub https_port: u16,
    /// The HTTPS port refuses connections until `refuse_token_connections(false)`.
    pub token_port_closed: bool,
    /// Also bind `[::1]` on the same ports.
    pub ipv6: bool,
    /// Names (or IP addresses) in the certificate; the first is the one `upstream()` and `authority()` give.
    pub host_names: Vec<String>,
    /// Mailboxes that may sign in.
    pub mailboxes: Vec<String>,
    /// Send As grants: (mailbox, other address).
    pub send_as: Vec<(String, String)>,
    /// Check the From: header after the dot, as Exchange Online does.
    pub enforce_send_as: bool,
    /// Password of every mailbox (AUTH LOGIN).
    pub password: String,
    /// Tenant id.
    pub tenant: String,
    /// Client id of the registered app.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// Scope that the token endpoint accepts for client credentials.
    pub scope: String,
    /// Scope of delegated sign-ins, `offline_access` apart.
    pub delegated_scope: String,
    /// DER certificates uploaded to the app registration.
    pub certificates: Vec<Vec<u8>>,
    /// The app registration's federated credential.
    pub federated_credential: FederatedCredential,
    /// How a device code sign-in goes.
    pub device: DeviceFlow,
    /// What `X-IDENTITY-HEADER` must hold.
    pub identity_header: String,
    /// The user-assigned managed identity.
    pub managed_client_id: String,
    /// `expires_in` of the tokens.
    pub token_lifetime: Duration,
    /// Transactions in progress per mailbox; one begun beyond it gets 432 4.3.2 after the dot.
    pub max_connections: Option<usize>,
    /// Messages per mailbox in any 60 s; beyond it 421 4.4.2 at MAIL and the connection ends.
    pub messages_per_minute: Option<u32>,
    /// Recipients per mailbox in any 24 h; beyond it 554 5.2.0 after the dot.
    pub recipients_per_day: Option<u32>,
    /// Recipients per message; the next RCPT gets 452 4.5.3.
    pub max_recipients: usize,
    /// Content octets; checked after the content (552 5.3.4), since SIZE advertises more.
    pub max_message_size: u64,
    /// What SIZE advertises, and MAIL's SIZE= is checked against.
    pub advertised_size: u64,
    /// Messages per connection; MAIL beyond it gets 421 and the connection ends.
    pub messages_per_connection: Option<usize>,
    /// Silence after which 421 4.4.1 is sent and the connection ends.
    pub idle_timeout: Option<Duration>,
    /// Age at which a connection is ended with 421 4.4.1 even while in use (seen at the next command).
    pub session_limit: Option<Duration>,
    /// Offer CHUNKING and BINARYMIME.
    pub chunking: bool,
    /// Offer PIPELINING.
    pub pipelining: bool,
    /// Offer DSN.
    pub dsn: bool,
    /// Offer 8BITMIME.
    pub eight_bit_mime: bool,
    /// Offer SMTPUTF8.
    pub smtputf8: bool,
    /// AUTH mechanisms offered once TLS is on.
    pub auth: Vec<&'static str>,
    /// Mail is taken without AUTH, as by an inbound connector (TLS is still required).
    pub connector: bool,
    /// Ask for a client certificate and report it in [`crate::Taken::client_certificates`].
    pub ask_client_certificate: bool,
    /// Offer STARTTLS.
    pub starttls: bool,
    /// Waited before every flush of replies, one TLS handshake and one token answer: models a round trip.
    pub latency: Duration,
    /// Certificate and versions on the SMTP side.
    pub tls: TlsSetup,
    /// Certificate and versions of the token endpoint.
    pub https_tls: TlsSetup,
    /// Keep every line for [`crate::Office365::dialogue`].
    pub record_dialogue: bool,
    /// Keep the content of mails; with `false` only size and SHA-256 (benchmarks).
    pub keep_content: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            smtp_port: 0,
            https_port: 0,
            token_port_closed: false,
            ipv6: false,
            host_names: ["localhost", "127.0.0.1", "::1"].map(String::from).to_vec(),
            mailboxes: vec!["app@contoso.com".into()],
            send_as: Vec::new(),
            enforce_send_as: true,
            password: "correct horse battery staple".into(),
            tenant: "11111111-2222-3333-4444-555555555555".into(),
            client_id: "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee".into(),
            // Characters that form encoding must escape, as in real secrets: a client that does not escape them fails.
            client_secret: "Zq8Q~simulated+secret/with=odd&chars%41".into(),
            scope: "https://outlook.office365.com/.default".into(),
            delegated_scope: "https://outlook.office.com/SMTP.Send".into(),
            certificates: Vec::new(),
            federated_credential: FederatedCredential {
                issuer: "https://oidc.example.net/cluster/".into(),
                subject: "system:serviceaccount:mail:app".into(),
                audience: "api://AzureADTokenExchange".into(),
            },
            device: DeviceFlow { pending: 1, end: DeviceEnd::Approved, interval: Duration::from_secs(1) },
            identity_header: "853b9a84-5bfa-4b22-a3f3-0b9a43d9ad8a".into(),
            managed_client_id: "dddddddd-bbbb-cccc-dddd-eeeeeeeeeeee".into(),
            token_lifetime: Duration::from_secs(3599),
            max_connections: None,
            messages_per_minute: None,
            recipients_per_day: None,
            max_recipients: 500,
            max_message_size: 36_700_160,
            advertised_size: 157_286_400,
            messages_per_connection: None,
            idle_timeout: None,
            session_limit: None,
            chunking: true,
            pipelining: true,
            dsn: true,
            eight_bit_mime: true,
            smtputf8: true,
            auth: vec!["LOGIN", "XOAUTH2"],
            connector: false,
            ask_client_certificate: false,
            starttls: true,
            latency: Duration::ZERO,
            tls: TlsSetup::Good,
            https_tls: TlsSetup::Good,
            record_dialogue: true,
            keep_content: true,
        }
    }
}
