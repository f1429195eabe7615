//! The table of Office 365's refusals.
//!
//! The first row that fits wins. Rows that go by words come first: those replies look like one class and are the
//! other. Then enhanced codes, then the first digit.
//!
//! Words are never searched for: a refusal says addresses and names of the mail back, which the app's user chose, and
//! `submissionquotaexceeded@` must not stop a mailbox. They are read at fixed places alone ([`Words`]), where nothing of
//! the mail's can stand, and never by a row that would stop the mailbox for a recipient.
//!
//! Sources: Microsoft's list of non-delivery reports
//! (learn.microsoft.com/exchange/mail-flow-best-practices/non-delivery-reports-in-exchange-online), its pages on
//! continuous-error throttling (`…/continuous-error-throttling-smtp-auth-submissions` beside it), on SMTP AUTH
//! submission and on High Volume Email; Exchange Server's replies; logs of real sessions. Details that no page gives,
//! such as which of 5.2.251 to 5.2.255 means what, decide nothing here.

use super::fault::Stage::{self, Auth, Connect, Content, Ehlo, Greeting, Mail, Rcpt, StartTls, Verdict};
use super::ruling::{
    Class::{self, Permanent, SetUp, Throttled, Transient},
    Kind, Pause,
    Scope::{self, Connection, Mailbox, Message, Recipient, Service},
};
use crate::smtp::reply::{EnhancedCode, Reply};

/// One row. An empty condition holds always; of several values one must fit.
pub(super) struct Rule {
    pub name: &'static str,
    stages: &'static [Stage],
    /// Codes, or a first digit.
    codes: &'static [u16],
    enhanced: &'static [Enhanced],
    /// How the text begins, in lower case. Each has a space in it: no address begins so without a quote before it.
    says: &'static [&'static str],
    /// How the name of the store's exception begins, in lower case.
    thrown: &'static [&'static str],
    /// 5xx with 4.x.x.
    contradictory: bool,
    pub kind: Kind,
    pub scope: Scope,
    /// Empty for none; `<mailbox>` is filled in.
    pub hint: &'static str,
    /// One more attempt, with a new token on a new connection.
    pub fresh_token: bool,
}

/// Subject, first and last detail; the class is left out, as Office 365 sends 451 5.7.3 and 550 4.4.4.
struct Enhanced(u16, u16, u16);

const fn is(subject: u16, detail: u16) -> Enhanced {
    Enhanced(subject, detail, detail)
}

const fn within(subject: u16, first: u16, last: u16) -> Enhanced {
    Enhanced(subject, first, last)
}

const fn rule(name: &'static str, class: Class, scope: Scope) -> Rule {
    let (stages, codes, enhanced, says, thrown) = (&[], &[], &[], &[], &[]);
    let (kind, contradictory, hint, fresh_token) = (Kind::Always(class), false, "", false);
    Rule { name, stages, codes, enhanced, says, thrown, contradictory, kind, scope, hint, fresh_token }
}

impl Rule {
    const fn at(self, stages: &'static [Stage]) -> Self {
        Self { stages, ..self }
    }
    const fn code(self, codes: &'static [u16]) -> Self {
        Self { codes, ..self }
    }
    const fn enhanced(self, enhanced: &'static [Enhanced]) -> Self {
        Self { enhanced, ..self }
    }
    const fn says(self, says: &'static [&'static str]) -> Self {
        Self { says, ..self }
    }
    const fn thrown(self, thrown: &'static [&'static str]) -> Self {
        Self { thrown, ..self }
    }
    const fn contradictory(self) -> Self {
        Self { contradictory: true, ..self }
    }
    const fn kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }
    const fn hint(self, hint: &'static str) -> Self {
        Self { hint, ..self }
    }
    const fn fresh_token(self) -> Self {
        Self { fresh_token: true, ..self }
    }

    fn fits(&self, stage: Stage, code: u16, enhanced: Option<EnhancedCode>, words: &Words<'_>) -> bool {
        (self.stages.is_empty() || self.stages.contains(&stage))
            && (self.codes.is_empty() || self.codes.contains(&code) || self.codes.contains(&(code / 100)))
            && (!self.contradictory || enhanced.is_some_and(|is| is.0 == 4))
            && (self.enhanced.is_empty()
                || enhanced.is_some_and(|is| {
                    self.enhanced.iter().any(|e| e.0 == is.1 && (e.1..=e.2).contains(&is.2))
                }))
            && (self.says.is_empty() || self.says.iter().any(|start| words.said.starts_with(start)))
            && (self.thrown.is_empty() || self.thrown.iter().any(|start| words.thrown.starts_with(start)))
    }
}

/// What of a refusal's text is read, in lower case.
struct Words<'a> {
    /// What stands right behind the enhanced code; behind a leading `STOREDRV…;`; in 530 5.7.57, which repeats the
    /// refusal of the sign-in, behind the codes that follow `Error: `.
    said: &'a str,
    /// The class name behind a leading `STOREDRV.Submission.Exception:`; else nothing.
    thrown: &'a str,
}

impl<'a> Words<'a> {
    fn of(code: u16, lower_text: &'a str) -> Self {
        let (enhanced, mut said) = match EnhancedCode::split(lower_text) {
            Some((enhanced, rest)) => (Some(enhanced), rest),
            None => (None, lower_text),
        };
        let thrown = said.strip_prefix("storedrv.submission.exception:").unwrap_or_default();
        if said.starts_with("storedrv")
            && let Some((head, rest)) = said.split_once(';')
            && !head.contains(char::is_whitespace)
        {
            said = rest.trim_start();
        }
        if code == 530
            && enhanced.is_some_and(|is| (is.1, is.2) == (7, 57))
            && let Some(inner) = said.strip_prefix("client not authenticated to send mail. error: ")
            && let Some((code, inner)) = inner.split_once(' ')
            && code.len() == 3
        {
            said = EnhancedCode::split(inner).map_or(inner, |(_, rest)| rest);
        }
        Self { said, thrown }
    }
}

/// The row for a reply of 4xx or 5xx.
pub(super) fn find(stage: Stage, reply: &Reply) -> &'static Rule {
    let text = reply.text().to_ascii_lowercase();
    let (enhanced, words) = (reply.enhanced(), Words::of(reply.code, &text));
    RULES.iter().find(|rule| rule.fits(stage, reply.code, enhanced, &words)).unwrap_or(&OTHERWISE)
}

static OTHERWISE: Rule = rule("deferred", Transient, Message);

const SEND_AS: &str = "Run Add-RecipientPermission <the From address> -Trustee <mailbox> -AccessRights SendAs, or send as <mailbox> (MAILSHIM_FROM, MAILSHIM_FROM_POLICY=force).";
const USE_OAUTH: &str = "Sign in with OAuth: set MAILSHIM_TENANT_ID, MAILSHIM_CLIENT_ID and MAILSHIM_CLIENT_SECRET instead of MAILSHIM_PASSWORD.";
const POLICY: &str = "Exempt <mailbox>, or the application that signs in, from the Conditional Access policy or security defaults (Entra > Sign-in logs names it); a password is better replaced by OAuth.";
const CONTINUOUS: &str =
    "Stop what causes the errors that Office 365 names; the mailbox opens again by itself.";
const DAILY: &str = "Wait until the 24 hours have slid on, spread the mail over mailboxes, and set MAILSHIM_RECIPIENTS_PER_DAY.";
const TENANT_DAILY: &str = "Wait until the tenant's 24 hours have slid on; send bulk mail by another service, such as Azure Communication Services.";
const RESTRICTED: &str = "Unblock <mailbox> in Defender > Email & collaboration > Review > Restricted entities, and change its credentials.";
const CONNECTOR: &str = "Check the inbound connector (from: your organization's email server): it must match this address or certificate, and the sender an accepted domain.";
const DELIST: &str =
    "Ask for delisting of this sender or address at https://sender.office.com, or from Microsoft's support.";
const GRANT: &str = "Run mailshim check: it says which is wrong, the credentials, <mailbox> (MAILSHIM_MAILBOX), or the application's right to it, and prints the commands. A new grant takes up to 2 hours.";

const SESSION: &[Stage] = &[Connect, Greeting, Ehlo, StartTls];
/// A refused sign-in, and its repetition at MAIL.
const SIGN_IN: &[u16] = &[535, 530];
/// What is refused at RCPT is the recipient: only codes that are about the connection or the sign-in act on the mailbox.
const NOT_RCPT: &[Stage] = &[Connect, Greeting, Ehlo, StartTls, Auth, Mail, Content, Verdict];
const ENVELOPE: &[Stage] = &[Mail, Rcpt, Content, Verdict];

#[rustfmt::skip] // one row, two or three lines: a table
static RULES: &[Rule] = &[
    // A mailbox's throttling where a recipient was asked for: it may pass later, but stops nobody else's mail.
    rule("throttled_at_rcpt", Transient, Recipient).at(&[Rcpt])
        .enhanced(&[within(2, 251, 255), is(1, 90), within(7, 232, 233), is(7, 236)]),

    // By words: the mailbox as a whole is throttled, though the code speaks of one message.
    rule("continuous_errors", Throttled(Pause::ContinuousErrors), Mailbox).at(NOT_RCPT)
        .enhanced(&[is(2, 252)]).says(&["sender throttled"]).hint(CONTINUOUS),
    rule("concurrent_connections", Throttled(Pause::Seconds), Mailbox).code(&[432])
        .hint("Lower MAILSHIM_MAX_CONNECTIONS: all programs that send as <mailbox> share 3."),
    rule("submission_rate", Throttled(Pause::NextMinute), Mailbox)
        .code(&[421]).enhanced(&[is(4, 2)]).says(&["message submission rate"])
        .hint("Lower MAILSHIM_MESSAGES_PER_MINUTE: all programs that send as <mailbox> share 30."),
    rule("submission_quota", Throttled(Pause::Day), Mailbox).at(NOT_RCPT)
        .enhanced(&[is(2, 0)]).thrown(&["submissionquotaexceeded"]).hint(DAILY),
    rule("submission_quota", Throttled(Pause::Day), Mailbox).at(NOT_RCPT)
        .enhanced(&[is(2, 2)]).says(&["submission quota"]).hint(DAILY),
    // Microsoft gives this one without an enhanced code.
    rule("submission_quota", Throttled(Pause::Day), Mailbox).at(NOT_RCPT)
        .says(&["the message can't be submitted because the sender's submission quota was exceeded"]).hint(DAILY),
    // Nothing of a mail's has been said when the server greets.
    rule("server_connections", Throttled(Pause::Seconds), Service).at(&[Greeting])
        .says(&["the maximum number of concurrent"])
        .hint("Lower MAILSHIM_MAX_CONNECTIONS, or the number of replicas."),

    // By words: set-up faults that look like something else.
    rule("mailbox_logon", SetUp, Mailbox).at(NOT_RCPT).code(&[430]).says(&["mailbox logon failure"]).fresh_token()
        .hint("The application has no right to <mailbox>: mailshim check says which is missing and prints the commands. A new grant takes up to 2 hours."),
    rule("mailbox_full", SetUp, Mailbox).at(NOT_RCPT).enhanced(&[is(2, 0)]).thrown(&["quotaexceeded"])
        .hint("Empty Sent Items of <mailbox>, or give it a retention policy: a full mailbox cannot send."),
    rule("outbound_spam", SetUp, Mailbox).at(NOT_RCPT)
        .enhanced(&[is(2, 0)]).thrown(&["outboundspam"]).hint(RESTRICTED),
    rule("send_as_denied", SetUp, Mailbox).at(NOT_RCPT)
        .enhanced(&[is(2, 0)]).thrown(&["sendasdenied"]).kind(Kind::Sender).hint(SEND_AS),
    rule("send_as_denied", SetUp, Mailbox).at(NOT_RCPT).enhanced(&[is(7, 1)])
        .says(&["client does not have permissions to send as this sender"]).kind(Kind::Sender).hint(SEND_AS),
    rule("send_on_behalf_denied", SetUp, Mailbox).at(NOT_RCPT).enhanced(&[is(7, 1)])
        .says(&["client does not have permissions to send on behalf of"]).kind(Kind::Sender)
        .hint("Run Set-Mailbox <the From address> -GrantSendOnBehalfTo <mailbox>, or send as <mailbox> (MAILSHIM_FROM, MAILSHIM_FROM_POLICY=force)."),
    rule("starttls_required", SetUp, Service).code(&[451]).enhanced(&[is(7, 3)])
        .hint("Let the firewall pass port 587 without SMTP inspection: it takes STARTTLS away."),
    rule("starttls_required", SetUp, Service).code(&[530]).says(&["must issue a starttls command first"])
        .hint("Let the firewall pass port 587 without SMTP inspection: it takes STARTTLS away."),
    // It was offered: whoever refuses it is not who offered it.
    rule("starttls_refused", SetUp, Service).at(&[StartTls]).code(&[5])
        .hint("Let the firewall pass port 587 without SMTP inspection: STARTTLS was offered, and then refused on the way."),
    rule("wrong_region", SetUp, Service).enhanced(&[is(4, 62)])
        .hint("Set MAILSHIM_UPSTREAM to the MX host of the tenant's own domain, or mend the connector."),
    rule("unlicensed_tenant", Permanent, Recipient).code(&[5]).enhanced(&[is(4, 4)]),
    rule("relay_denied", SetUp, Service).enhanced(&[is(4, 1)]).says(&["relay access denied"]).hint(CONNECTOR),
    rule("relay_denied", SetUp, Service).enhanced(&[is(7, 1)]).says(&["unable to relay"]).hint(CONNECTOR),
    rule("tls_too_old", SetUp, Service).enhanced(&[is(7, 66)])
        .hint("Find what proxies port 587: mailshim itself speaks TLS 1.2 and 1.3."),

    // The sign-in; the same words come inside 530 5.7.57 at MAIL.
    rule("smtp_auth_disabled", SetUp, Mailbox).code(SIGN_IN)
        .says(&["authentication unsuccessful, smtpclientauthentication is disabled"])
        .hint("Set-CASMailbox <mailbox> -SmtpClientAuthenticationDisabled $false"),
    rule("basic_auth_disabled", SetUp, Mailbox).enhanced(&[is(7, 30)]).hint(USE_OAUTH),
    rule("basic_auth_disabled", SetUp, Mailbox).code(SIGN_IN)
        .says(&["authentication unsuccessful, basic authentication is"]).hint(USE_OAUTH),
    rule("security_defaults", SetUp, Mailbox).code(SIGN_IN)
        .says(&["authentication unsuccessful, user is locked by your organization's security defaults"]).hint(POLICY),
    rule("sign_in_policy", SetUp, Mailbox).code(SIGN_IN)
        .says(&["authentication unsuccessful, the request did not meet the criteria"]).hint(POLICY),
    rule("wrong_password", SetUp, Mailbox).code(SIGN_IN)
        .says(&["authentication unsuccessful, the user credentials were incorrect"])
        .hint("Set MAILSHIM_PASSWORD to the password of <mailbox>, or sign in with OAuth."),
    rule("federation", SetUp, Service).code(SIGN_IN)
        .says(&["authentication unsuccessful, federated sts", "authentication unsuccessful, the federated sts"])
        .hint("Mend the tenant's federation server (AD FS), or sign in with OAuth and a client secret."),
    rule("hve_policy", SetUp, Service).code(SIGN_IN)
        .says(&["authentication unsuccessful, the organization configuration does not allow"])
        .hint("Allow it in the authentication policy (Set-AuthenticationPolicy -AllowBasicAuthSmtp) and turn security defaults off, or use OAuth."),
    rule("token_expiring", Transient, Connection)
        .enhanced(&[is(5, 127), within(7, 142, 143)]).at(&[Auth]).fresh_token(),
    rule("hve_xoauth2", SetUp, Mailbox).enhanced(&[within(5, 121, 126)]).at(&[Auth])
        .hint("Set MAILSHIM_MAILBOX to the address of the High Volume Email account."),
    rule("hve_permission", SetUp, Service).enhanced(&[is(7, 144)])
        .hint("Grant the API permission Office 365 Exchange Online > Mail.Send, with admin consent."),
    rule("hve_app_not_allowed", SetUp, Mailbox).enhanced(&[is(7, 240)])
        .hint("Run Add-HVEAppAccess for <mailbox> with this application's id."),
    rule("auth_mechanism", SetUp, Service).at(&[Auth]).code(&[500, 502, 504])
        .hint("Check MAILSHIM_UPSTREAM: Office 365 takes XOAUTH2 and LOGIN."),
    rule("not_authenticated", SetUp, Mailbox).enhanced(&[is(7, 57)]).fresh_token().hint(GRANT),
    rule("sign_in_refused", SetUp, Mailbox).at(&[Auth]).code(&[535]).hint(GRANT),

    // By enhanced code: throttling.
    rule("submission_quota", Throttled(Pause::Day), Mailbox).at(NOT_RCPT).enhanced(&[is(1, 90)]).hint(DAILY),
    rule("tenant_quota", Throttled(Pause::Day), Service).at(NOT_RCPT).enhanced(&[within(7, 232, 233)]).hint(TENANT_DAILY),
    rule("onmicrosoft_quota", Throttled(Pause::Day), Service).at(NOT_RCPT).enhanced(&[is(7, 236)])
        .hint("Send from an address in a domain of your own, not onmicrosoft.com."),
    rule("continuous_errors", Throttled(Pause::ContinuousErrors), Mailbox).at(NOT_RCPT)
        .enhanced(&[is(2, 251), within(2, 253, 255)]).hint(CONTINUOUS),
    rule("concurrent_connections", Throttled(Pause::Seconds), Mailbox).code(&[432])
        .hint("Lower MAILSHIM_MAX_CONNECTIONS: all programs that send as <mailbox> share 3."),

    // By enhanced code: the sender.
    rule("send_as_denied", SetUp, Mailbox).enhanced(&[is(2, 252), is(7, 60)]).kind(Kind::Sender).hint(SEND_AS),
    rule("sender_blocked", SetUp, Mailbox).enhanced(&[is(1, 8), within(7, 501, 503)]).hint(RESTRICTED),
    rule("sender_address", SetUp, Message).at(&[Mail]).enhanced(&[is(1, 7), is(1, 3)]).kind(Kind::Sender)
        .hint("Correct the sender's address in the app, or set MAILSHIM_FROM and MAILSHIM_FROM_POLICY."),
    rule("dmarc", SetUp, Mailbox).enhanced(&[is(7, 509)]).kind(Kind::Sender)
        .hint("Turn DKIM on for the From domain and put Office 365 into its SPF record."),
    rule("several_from", Permanent, Message).enhanced(&[is(1, 20)])
        .hint("Give one From address, or a Sender; MAILSHIM_FROM_POLICY=repair does."),
    rule("no_from", Permanent, Message).enhanced(&[is(7, 512)])
        .hint("Give a valid From header; MAILSHIM_FROM_POLICY=repair does."),
    rule("sender_domain", SetUp, Service).enhanced(&[is(7, 750)])
        .hint("Send from an accepted domain of the tenant (Exchange admin center > Mail flow > Accepted domains)."),

    // By enhanced code: the recipients.
    rule("too_many_recipients", Permanent, Message).enhanced(&[is(5, 3)]).kind(Kind::RecipientCount)
        .hint("Lower MAILSHIM_MAX_RECIPIENTS to the mailbox's limit: Get-Mailbox <mailbox> | Format-List RecipientLimits."),
    rule("recipient_full", Transient, Recipient).at(&[Rcpt]).enhanced(&[is(2, 2)]),
    rule("mailbox_full", SetUp, Mailbox).enhanced(&[is(2, 2)])
        .hint("Empty Sent Items of <mailbox>, or give it a retention policy: a full mailbox cannot send."),
    rule("recipient_unknown", Permanent, Recipient).code(&[5])
        .enhanced(&[is(1, 1), is(1, 3), is(1, 10), is(4, 1)])
        .hint("Correct the recipient's address."),
    rule("recipient_unknown", Permanent, Recipient).at(&[Rcpt]).code(&[5]).enhanced(&[is(5, 0)])
        .hint("Correct the recipient's address."),
    rule("recipient_restricted", Permanent, Recipient).code(&[5])
        .enhanced(&[is(7, 12), within(7, 120, 129), within(7, 130, 138)])
        .hint("Ask the recipient's administrator to allow this sender."),
    rule("recipient_refuses", Permanent, Recipient).code(&[5])
        .enhanced(&[is(7, 505), is(7, 507), is(7, 513)])
        .hint("Ask the recipient's administrator to allow this sender."),
    rule("tenant_block_list", SetUp, Service).enhanced(&[is(7, 703)])
        .hint("Take the recipient off Defender > Tenant Allow/Block Lists, or leave it out: one refuses the whole mail."),

    // By enhanced code: the content.
    rule("header_too_large", Permanent, Message).code(&[5]).enhanced(&[is(3, 4)]).says(&["header size exceeds"])
        .hint("Send fewer or shorter header fields."),
    rule("too_large", Permanent, Message).code(&[5]).enhanced(&[is(3, 4), is(2, 3)])
        .hint("Send less, or raise the limit: Set-Mailbox <mailbox> -MaxSendSize 150MB (base64 adds a third)."),
    rule("mail_loop", Permanent, Message).code(&[5]).enhanced(&[is(4, 14), is(4, 6)])
        .hint("Find the loop: the mail has passed too many servers."),
    rule("bare_line_feeds", Permanent, Message).code(&[5]).enhanced(&[is(6, 11)])
        .hint("Report this line to mailshim's authors: it sends CRLF alone."),
    rule("bare_line_feeds", Permanent, Message).code(&[5]).enhanced(&[is(6, 0)])
        .says(&["invalid message content, contains bare linefeeds"])
        .hint("Report this line to mailshim's authors: it sends CRLF alone."),
    rule("content", Permanent, Message).code(&[5]).enhanced(&[is(6, 0), is(6, 1)])
        .hint("Correct the message's MIME structure; if it is sound, look for a transport rule that times out."),
    rule("smtputf8_needed", Permanent, Message).at(ENVELOPE).code(&[5]).enhanced(&[is(1, 6)])
        .hint("Use ASCII addresses."),

    // By enhanced code: the tenant, the connector, our address.
    rule("hello_name", SetUp, Service).at(&[Ehlo]).code(&[5]).enhanced(&[is(5, 4)])
        .hint("Set MAILSHIM_HOSTNAME to a full domain name."),
    rule("hello_name", SetUp, Service).enhanced(&[is(7, 506)])
        .hint("Set MAILSHIM_HOSTNAME to a domain name of your own."),
    rule("relay_denied", SetUp, Service).enhanced(&[is(7, 64)]).hint(CONNECTOR),
    rule("direct_send_off", SetUp, Service).enhanced(&[is(7, 68)])
        .hint("Make an inbound connector for this address or certificate, or Set-OrganizationConfig -RejectDirectSend $false."),
    rule("tenant_blocked", SetUp, Service).enhanced(&[is(7, 705)])
        .hint("Find the source of the spam, then ask Microsoft's support to lift the tenant's block."),
    rule("address_not_accepted", SetUp, Service).enhanced(&[is(7, 708)])
        .hint("Check MAILSHIM_TENANT_ID; a new or trial tenant must ask Microsoft's support."),
    rule("ipv6", SetUp, Service).enhanced(&[is(7, 510)])
        .hint("Send over IPv4: this recipient's domain takes no mail over IPv6."),
    rule("address_limit", Transient, Service).enhanced(&[is(7, 508)]).hint(CONNECTOR),
    rule("address_banned", SetUp, Service).enhanced(&[is(7, 511), within(7, 606, 649), is(7, 800)]).hint(DELIST),
    rule("address_greylisted", Transient, Service).code(&[4])
        .enhanced(&[within(7, 500, 699), within(7, 850, 899)]).hint(CONNECTOR),

    // Our own mistakes must not cost a mail.
    rule("sequence", Transient, Connection).code(&[503])
        .hint("Report this line to mailshim's authors."),
    rule("command", Transient, Connection).at(ENVELOPE).code(&[500, 502]).enhanced(&[is(3, 3), is(5, 1)])
        .hint("Check MAILSHIM_UPSTREAM: the server does not know a command that Office 365 knows."),

    // By code: Office 365's own troubles. (421 ends the connection, RFC 5321 section 3.8.)
    rule("service_busy", Transient, Service)
        .code(&[4]).enhanced(&[within(3, 0, 2), is(4, 3), is(4, 0)]),
    rule("service_busy", Transient, Service).code(&[450, 451]).enhanced(&[is(7, 0)]),
    rule("service_busy", Transient, Service).at(&[StartTls]).code(&[454]).enhanced(&[is(7, 0)]),
    rule("connection_ended", Transient, Connection).code(&[421]),
    rule("sign_in_deferred", Transient, Connection).at(&[Auth]).code(&[4]),

    // By the first digit. Before the envelope nothing is said about the message, so 5xx is somebody's set-up.
    rule("deferred", Transient, Connection).at(SESSION).code(&[4]),
    rule("deferred", Transient, Recipient).at(&[Rcpt]).code(&[4]),
    rule("deferred", Transient, Message).code(&[4]),
    // 550 4.x.x: where code and enhanced code disagree, the doubt is the mail's.
    rule("contradiction", Transient, Message).code(&[5]).contradictory(),
    rule("session_refused", SetUp, Service).at(SESSION).code(&[5])
        .hint("Check MAILSHIM_UPSTREAM and MAILSHIM_HOSTNAME; run mailshim check."),
    rule("sign_in_refused", SetUp, Mailbox).at(&[Auth]).hint(GRANT),
    rule("sender_refused", SetUp, Message).at(&[Mail]).code(&[5]).kind(Kind::Sender),
    rule("recipient_refused", Permanent, Recipient).at(&[Rcpt]).code(&[5]),
    rule("refused", Permanent, Message).at(&[Content, Verdict]).code(&[5]),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Refusals that say something of the mail back, `{}`, wherever it may stand.
    const SHAPES: &[&str] = &[
        "554 5.2.252 SendAsDenied; app@contoso.com not allowed to send as {}; STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed",
        "554 5.2.252 SendAsDenied; {} not allowed to send as boss@contoso.com",
        "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException; {} failed",
        "554 5.2.0 {}: failed",
        "554 5.2.2 mailbox full; {}",
        "550 5.2.2 {}: mailbox full",
        "550 5.7.1 Access denied for {}",
        "550 5.7.1 {} is not welcome",
        "550 5.4.1 {}: Recipient address rejected: Access denied.",
        "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient {} not found by SMTP address lookup",
        "550 5.1.1 {}: User unknown",
        "550 5.7.509 Access denied, sending domain of {} does not pass DMARC verification",
        "421 4.4.2 Connection dropped while {} was sent",
        "421 4.4.2 {}: connection dropped",
        "430 4.2.0 STOREDRV; {} is offline",
        "430 4.2.0 {}: server is offline",
        "451 4.7.0 Temporary server error for {}",
        "530 5.7.57 Client not authenticated to send mail as {}",
        "535 5.7.139 Authentication unsuccessful for {}",
        "550 {} refused",
        "554 5.6.0 Invalid message content from {}",
        "552 5.3.4 {}: too large",
    ];

    fn shape(shape: &str, said_back: &str) -> Reply {
        let (code, text) = shape.split_once(' ').unwrap();
        Reply::new(code.parse().unwrap(), text.replace("{}", said_back))
    }

    /// The phrase as an app's user can put it into an address, a display name or a quoted string.
    fn disguises(phrase: &str) -> Vec<String> {
        let dotted = phrase.replace(' ', ".");
        let thrown = format!("STOREDRV.Submission.Exception:{phrase}");
        let mut all = vec![
            format!("{dotted}@fabrikam.com"),
            format!("<{dotted}@fabrikam.com>"),
            format!("boss@{dotted}.fabrikam.com"),
        ];
        for text in [
            phrase.to_string(),
            format!("x; {phrase}"),
            format!("STOREDRV; {phrase}"),
            format!("{thrown}; x"),
            format!("x Error: 535 5.7.139 {phrase}"),
            format!("5.2.252 {phrase}"),
        ] {
            all.push(format!("\"{text}\"@fabrikam.com"));
            all.push(format!("\"{text}\" <boss@fabrikam.com>"));
        }
        all
    }

    #[test]
    fn what_a_refusal_says_back_decides_nothing() {
        let phrases = RULES.iter().flat_map(|rule| rule.says.iter().chain(rule.thrown));
        let phrases: Vec<_> = phrases.chain(&["sender throttled", "wascl useraction", "tls 1."]).collect();
        assert!(phrases.len() > 20);
        for stage in [Mail, Rcpt, Content, Verdict] {
            for line in SHAPES {
                let plain = find(stage, &shape(line, "boss@fabrikam.com")).name;
                for said_back in phrases.iter().flat_map(|phrase| disguises(phrase)) {
                    let rule = find(stage, &shape(line, &said_back)).name;
                    assert_eq!(rule, plain, "{stage:?} {line} with {said_back}");
                }
            }
        }
    }

    #[test]
    fn no_address_begins_as_a_row_reads() {
        for rule in RULES.iter().filter(|rule| !rule.says.is_empty()) {
            assert!(rule.says.iter().all(|start| start.contains(' ')), "{}", rule.name);
        }
    }
}
