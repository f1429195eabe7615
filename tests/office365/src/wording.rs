//! Exchange Online's words (OFFICE365.md §2 and §4, to the letter), so that nothing else in this crate spells a reply.

use time::OffsetDateTime;
use time::macros::format_description;

/// The front end's name in banner and EHLO.
pub const HOST: &str = "SY5P282CA0097.outlook.office365.com";
/// The front end's name in the bracketed suffix of its error replies.
pub const FRONT: &str = "SY5P282CA0097.AUSP282.PROD.OUTLOOK.COM";
/// The mailbox server's name in `[Hostname=…]`.
pub const STORE: &str = "SYBP282MB2635.AUSP282.PROD.OUTLOOK.COM";

/// 535 for wrong credentials; the suffix is added.
pub const AUTH_UNSUCCESSFUL: &str = "535 5.7.3 Authentication unsuccessful";
/// SMTP AUTH switched off for the tenant.
pub const SMTP_AUTH_DISABLED_TENANT: &str = "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information. [SY5P282CA0097.AUSP282.PROD.OUTLOOK.COM 2025-04-26T18:06:35.781Z 08DD842467C8274D]";
/// SMTP AUTH switched off for the mailbox.
pub const SMTP_AUTH_DISABLED_MAILBOX: &str = "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. Visit https://aka.ms/smtp_auth_disabled for more information. [SY5P282CA0097.AUSP282.PROD.OUTLOOK.COM 2025-04-26T18:06:35.781Z 08DD842467C8274D]";
/// Password where passwords are refused.
pub const BASIC_DISABLED: &str = "535 5.7.139 Authentication unsuccessful, basic authentication is disabled. [SY5P282CA0097.AUSP282.PROD.OUTLOOK.COM 2025-04-26T18:06:35.781Z 08DD842467C8274D]";
/// After Basic authentication's removal.
pub const BASIC_REMOVED: &str = "550 5.7.30 Basic authentication is not supported for Client Submission.";
/// A 4xx that is a missing mailbox grant; comes after the dot.
pub const LOGON_FAILURE: &str = "430 4.2.0 STOREDRV; mailbox logon failure; Failed to process message due to a transient exception with message Cannot open mailbox. MapiExceptionLogonFailed: Unable to open message store. (hr=0x80040111, ec=1010) [Hostname=SYBP282MB2635.AUSP282.PROD.OUTLOOK.COM]";
/// The mailbox is full.
pub const MAILBOX_FULL: &str = "554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException.MapiExceptionShutoffQuotaExceeded; Failed to process message due to a permanent exception with message Cannot submit message. [Hostname=SYBP282MB2635.AUSP282.PROD.OUTLOOK.COM]";
/// Refused as outbound spam.
pub const OUTBOUND_SPAM: &str = "554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; Failed to process message due to a permanent exception with message WASCL UserAction verdict is not None. Actual verdict is RefuseQuota. [Hostname=SYBP282MB2635.AUSP282.PROD.OUTLOOK.COM]";
/// Continuous SendAs refusals throttle the whole mailbox.
pub const SENDER_THROTTLED: &str = "550 5.2.252 Sender throttled due to continuous send as denied errors [Hostname=SYBP282MB2635.AUSP282.PROD.OUTLOOK.COM]";
/// More than 30 messages a minute.
pub const SUBMISSION_RATE: &str =
    "421 4.4.2 Message submission rate for this client has exceeded the configured limit";
/// A fourth connection.
pub const CONCURRENT: &str = "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information. [Hostname=SYBP282MB2635.AUSP282.PROD.OUTLOOK.COM]";
/// More than 10,000 recipients a day.
pub const DAILY_RECIPIENTS: &str = "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message due to a permanent exception with message The message can't be submitted because the sender's submission quota was exceeded. [Hostname=SYBP282MB2635.AUSP282.PROD.OUTLOOK.COM]";
/// A front end that cannot reach the mailbox server.
pub const TEMPORARY: &str = "451 4.7.0 Temporary server error. Please try again later. PRX2";
/// Not ready for service.
pub const NOT_AVAILABLE: &str = "421 4.3.2 Service not available";
/// AUTH cannot be judged now.
pub const AUTH_TEMPORARY: &str = "454 4.7.0 Temporary authentication failure";
/// TLS too old.
pub const OLD_TLS: &str = "421 4.7.66 TLS 1.0 and 1.1 are not supported. Please upgrade/update your client to support TLS 1.2. Visit https://aka.ms/smtp_auth_tls";
/// MAIL without AUTH.
pub const NOT_AUTHENTICATED: &str = "530 5.7.57 Client not authenticated to send mail.";
/// Connector that does not match.
pub const RELAY_DENIED: &str = "550 5.7.64 TenantAttribution; Relay Access Denied";

/// Replies that the front end completes with its bracketed suffix.
pub(crate) mod front {
    pub(crate) const UNRECOGNIZED: &str = "500 5.3.3 Unrecognized command";
    pub(crate) const TOO_LONG: &str = "500 5.5.2 Command too long";
    pub(crate) const INVALID_DOMAIN: &str = "501 5.5.4 Invalid domain name";
    pub(crate) const INVALID_ARGUMENTS: &str = "501 5.5.4 Invalid arguments";
    pub(crate) const UNRECOGNIZED_PARAMETER: &str = "501 5.5.4 Unrecognized parameter";
    pub(crate) const UNSUPPORTED_BODY: &str = "501 5.5.4 Unsupported BODY type";
    pub(crate) const INVALID_SENDER: &str = "501 5.1.7 Invalid address";
    pub(crate) const INVALID_RECIPIENT: &str = "501 5.1.3 Invalid address";
    pub(crate) const SMTPUTF8_REQUIRED: &str = "501 5.1.6 SMTPUTF8 argument required.";
    pub(crate) const HELLO_FIRST: &str = "503 5.5.2 Send hello first";
    pub(crate) const NEED_MAIL: &str = "503 5.5.2 Need mail command";
    pub(crate) const NEED_RCPT: &str = "503 5.5.2 Need rcpt command";
    pub(crate) const BAD_SEQUENCE: &str = "503 5.5.1 Bad sequence of commands";
    pub(crate) const AUTH_NEEDS_TLS: &str = "451 5.7.3 Require STARTTLS to authenticate";
    pub(crate) const MAIL_NEEDS_TLS: &str = "451 5.7.3 STARTTLS is required to send mail";
    pub(crate) const UNKNOWN_MECHANISM: &str = "504 5.7.4 Unrecognized authentication type";
    pub(crate) const TOO_MANY_RECIPIENTS: &str = "452 4.5.3 Too many recipients";
    pub(crate) const SIZE: &str = "552 5.3.4 Message size exceeds fixed maximum message size";
    pub(crate) const MULTIPLE_FROM: &str =
        "550 5.1.20 Multiple From addresses are not allowed without Sender address";
    pub(crate) const NO_FROM: &str =
        "550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant";
    pub(crate) const TIMED_OUT: &str = "421 4.4.1 Connection timed out";
    pub(crate) const MESSAGES: &str =
        "421 4.4.2 Too many messages on this connection, closing transmission channel";
    pub(crate) const STARTTLS_REFUSED: &str =
        "454 4.7.0 Cannot accept TLS as maximum TLS rate exceeded for server";
}

/// `[HOST.PROD.OUTLOOK.COM 2025-04-26T18:06:35.781Z 08DD842467C8274D]`
pub(crate) fn suffix(session: &str) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let now = OffsetDateTime::now_utc().format(&format).unwrap_or_default();
    format!("[{FRONT} {now} {session}]")
}

pub(crate) fn banner(session: &str) -> String {
    let format = format_description!(
        "[weekday repr:short], [day padding:none] [month repr:short] [year] [hour]:[minute]:[second] +0000"
    );
    let now = OffsetDateTime::now_utc().format(&format).unwrap_or_default();
    format!("220 {HOST} Microsoft ESMTP MAIL Service ready at {now} [{session}]")
}

/// SendAsDenied, as long as the real one: a client with a fixed buffer loses sync on it.
pub fn send_as_denied(mailbox: &str, sender: &str) -> String {
    let mut text = format!(
        "554 5.2.252 SendAsDenied; {mailbox} not allowed to send as {sender}; \
         STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to process message due to a \
         permanent exception with message [BeginDiagnosticData]Cannot submit message. 0.35250:FF010000, 1.36674:01000000"
    );
    let mut n = 2_u64;
    while text.len() < 1_960 {
        text.push_str(&format!(", {n}.{}:{:016X}", 36_000 + n * 131, n.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        n += 1;
    }
    text.push_str(&format!("[EndDiagnosticData] [Hostname={STORE}]"));
    text
}

pub(crate) fn accepted(message_id: &str) -> String {
    format!("250 2.0.0 OK {message_id} [Hostname={STORE}]")
}
