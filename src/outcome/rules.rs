//! The table of Office 365's refusals.
//!
//! The first row that fits wins. Rows that go by text come first: those replies look like one class and are the
//! other. Then enhanced codes, then the first digit.
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
    /// Lower case.
    text: &'static [&'static str],
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
    let (stages, codes, enhanced, text) = (&[], &[], &[], &[]);
    let (kind, contradictory, hint, fresh_token) = (Kind::Always(class), false, "", false);
    Rule { name, stages, codes, enhanced, text, contradictory, kind, scope, hint, fresh_token }
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
    const fn says(self, text: &'static [&'static str]) -> Self {
        Self { text, ..self }
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

    fn fits(&self, stage: Stage, code: u16, enhanced: Option<EnhancedCode>, lower_text: &str) -> bool {
        (self.stages.is_empty() || self.stages.contains(&stage))
            && (self.codes.is_empty() || self.codes.contains(&code) || self.codes.contains(&(code / 100)))
            && (!self.contradictory || enhanced.is_some_and(|is| is.0 == 4))
            && (self.enhanced.is_empty()
                || enhanced.is_some_and(|is| {
                    self.enhanced.iter().any(|e| e.0 == is.1 && (e.1..=e.2).contains(&is.2))
                }))
            && (self.text.is_empty() || self.text.iter().any(|words| lower_text.contains(words)))
    }
}

/// The row for a reply of 4xx or 5xx.
pub(super) fn find(stage: Stage, reply: &Reply) -> &'static Rule {
    let text = reply.text().to_ascii_lowercase();
    let enhanced = reply.enhanced();
    RULES.iter().find(|rule| rule.fits(stage, reply.code, enhanced, &text)).unwrap_or(&OTHERWISE)
}

static OTHERWISE: Rule = rule("deferred", Transient, Message);

const SEND_AS: &str = "Run Add-RecipientPermission <the From address> -Trustee <mailbox> -AccessRights SendAs, or send as <mailbox> (MAILSHIM_FROM, MAILSHIM_FROM_POLICY=force).";
const USE_OAUTH: &str = "Sign in with OAuth: set MAILSHIM_TENANT_ID, MAILSHIM_CLIENT_ID and MAILSHIM_CLIENT_SECRET instead of MAILSHIM_PASSWORD.";
const POLICY: &str = "Use OAuth with a client secret or certificate, or exempt <mailbox> from the Conditional Access policy or security defaults.";
const CONTINUOUS: &str =
    "Stop what causes the errors that Office 365 names; the mailbox opens again by itself.";
const DAILY: &str = "Wait until the 24 hours have slid on, spread the mail over mailboxes, and set MAILSHIM_RECIPIENTS_PER_DAY.";
const TENANT_DAILY: &str = "Wait until the tenant's 24 hours have slid on; send bulk mail by another service, such as Azure Communication Services.";
const RESTRICTED: &str = "Unblock <mailbox> in Defender > Email & collaboration > Review > Restricted entities, and change its credentials.";
const CONNECTOR: &str = "Check the inbound connector (from: your organization's email server): it must match this address or certificate, and the sender an accepted domain.";
const DELIST: &str =
    "Ask for delisting of this sender or address at https://sender.office.com, or from Microsoft's support.";
const GRANT: &str = "Check in this order: MAILSHIM_MAILBOX and the credentials; New-ServicePrincipal with the Enterprise application's Object ID; Add-MailboxPermission <mailbox> -User <it> -AccessRights FullAccess; a grant takes an hour.";

const SESSION: &[Stage] = &[Connect, Greeting, Ehlo, StartTls];
const ENVELOPE: &[Stage] = &[Mail, Rcpt, Content, Verdict];

#[rustfmt::skip] // one row, two or three lines: a table
static RULES: &[Rule] = &[
    // By text: the mailbox as a whole is throttled, though the code speaks of one message.
    rule("continuous_errors", Throttled(Pause::ContinuousErrors), Mailbox)
        .says(&["sender throttled"]).hint(CONTINUOUS),
    rule("concurrent_connections", Throttled(Pause::Seconds), Mailbox)
        .says(&["concurrent connections limit exceeded", "sender thread limit exceeded"])
        .hint("Lower MAILSHIM_MAX_CONNECTIONS: all programs that send as <mailbox> share 3."),
    rule("submission_rate", Throttled(Pause::NextMinute), Mailbox)
        .says(&["message submission rate"])
        .hint("Lower MAILSHIM_MESSAGES_PER_MINUTE: all programs that send as <mailbox> share 30."),
    rule("submission_quota", Throttled(Pause::Day), Mailbox)
        .says(&["submissionquotaexceeded", "submission quota", "daily limit for message recipients"]).hint(DAILY),
    rule("server_connections", Throttled(Pause::Seconds), Service)
        .says(&["maximum number of concurrent"])
        .hint("Lower MAILSHIM_MAX_CONNECTIONS, or the number of replicas."),

    // By text: set-up faults that look like something else.
    rule("mailbox_logon", SetUp, Mailbox).says(&["mailbox logon failure", "mapiexceptionlogonfailed"]).fresh_token()
        .hint("Run Add-MailboxPermission <mailbox> -User <service principal> -AccessRights FullAccess; the principal needs the Enterprise application's Object ID, and a grant takes an hour."),
    rule("mailbox_full", SetUp, Mailbox).at(&[Mail, Content, Verdict])
        .says(&["shutoffquotaexceeded", "storedrv.submission.exception:quotaexceeded", "mailbox full"])
        .hint("Empty Sent Items of <mailbox>, or give it a retention policy: a full mailbox cannot send."),
    rule("outbound_spam", SetUp, Mailbox).says(&["outboundspamexception", "wascl useraction"]).hint(RESTRICTED),
    rule("send_as_denied", SetUp, Mailbox)
        .says(&["sendasdenied", "permissions to send as this sender", "not allowed to send as"])
        .kind(Kind::Sender).hint(SEND_AS),
    rule("send_on_behalf_denied", SetUp, Mailbox).says(&["send on behalf of"]).kind(Kind::Sender)
        .hint("Run Set-Mailbox <the From address> -GrantSendOnBehalfTo <mailbox>, or send as <mailbox> (MAILSHIM_FROM, MAILSHIM_FROM_POLICY=force)."),
    rule("starttls_required", SetUp, Service)
        .says(&["starttls to authenticate", "starttls is required", "starttls command first"])
        .hint("Let the firewall pass port 587 without SMTP inspection: it takes STARTTLS away."),
    rule("wrong_region", SetUp, Service).says(&["wrong office 365 region"])
        .hint("Set MAILSHIM_UPSTREAM to the MX host of the tenant's own domain, or mend the connector."),
    rule("unlicensed_tenant", Permanent, Recipient).says(&["no mail-enabled subscriptions"]),
    rule("relay_denied", SetUp, Service).says(&["relay access denied", "unable to relay"]).hint(CONNECTOR),
    rule("tls_too_old", SetUp, Service).enhanced(&[is(7, 66)]).says(&["tls 1."])
        .hint("Find what proxies port 587: mailshim itself speaks TLS 1.2 and 1.3."),

    // The sign-in; the same words come inside 530 5.7.57 after MAIL.
    rule("smtp_auth_disabled", SetUp, Mailbox).says(&["smtpclientauthentication is disabled"])
        .hint("Set-CASMailbox <mailbox> -SmtpClientAuthenticationDisabled $false"),
    rule("basic_auth_disabled", SetUp, Mailbox)
        .says(&["basic authentication is disabled", "basic authentication is not supported"]).hint(USE_OAUTH),
    rule("security_defaults", SetUp, Mailbox).says(&["security defaults"]).hint(POLICY),
    rule("sign_in_policy", SetUp, Mailbox).says(&["did not meet the criteria"]).hint(POLICY),
    rule("wrong_password", SetUp, Mailbox).says(&["user credentials were incorrect"])
        .hint("Set MAILSHIM_PASSWORD to the password of <mailbox>, or sign in with OAuth."),
    rule("federation", SetUp, Service).says(&["federated sts"])
        .hint("Mend the tenant's federation server (AD FS), or sign in with OAuth and a client secret."),
    rule("hve_policy", SetUp, Service).says(&["organization configuration does not allow"])
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
    rule("submission_quota", Throttled(Pause::Day), Mailbox).enhanced(&[is(1, 90)]).hint(DAILY),
    rule("tenant_quota", Throttled(Pause::Day), Service).enhanced(&[within(7, 232, 233)]).hint(TENANT_DAILY),
    rule("onmicrosoft_quota", Throttled(Pause::Day), Service).enhanced(&[is(7, 236)])
        .hint("Send from an address in a domain of your own, not onmicrosoft.com."),
    rule("continuous_errors", Throttled(Pause::ContinuousErrors), Mailbox)
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
    rule("too_many_recipients", Permanent, Message).enhanced(&[is(5, 3)]).says(&["recip"]).kind(Kind::RecipientCount)
        .hint("Lower MAILSHIM_MAX_RECIPIENTS to the mailbox's limit: Get-Mailbox <mailbox> | Format-List RecipientLimits."),
    rule("recipient_full", Transient, Recipient).at(&[Rcpt]).enhanced(&[is(2, 2)]),
    rule("mailbox_full", SetUp, Mailbox).enhanced(&[is(2, 2)])
        .hint("Empty Sent Items of <mailbox>, or give it a retention policy: a full mailbox cannot send."),
    rule("recipient_unknown", Permanent, Recipient).code(&[5])
        .enhanced(&[is(1, 1), is(1, 3), is(1, 10), is(4, 1)])
        .hint("Correct the recipient's address."),
    rule("recipient_unknown", Permanent, Recipient).code(&[5]).says(&["mailbox unavailable"])
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
    rule("header_too_large", Permanent, Message).code(&[5]).says(&["header size"])
        .hint("Send fewer or shorter header fields."),
    rule("too_large", Permanent, Message).code(&[5]).enhanced(&[is(3, 4), is(2, 3)])
        .hint("Send less, or raise the limit: Set-Mailbox <mailbox> -MaxSendSize 150MB (base64 adds a third)."),
    rule("mail_loop", Permanent, Message).code(&[5]).enhanced(&[is(4, 14), is(4, 6)])
        .hint("Find the loop: the mail has passed too many servers."),
    rule("bare_line_feeds", Permanent, Message).code(&[5]).says(&["bare linefeeds"])
        .hint("Report this line to mailshim's authors: it sends CRLF alone."),
    rule("content", Permanent, Message).code(&[5]).enhanced(&[is(6, 0), is(6, 1), is(6, 11)])
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
    rule("service_busy", Transient, Service).code(&[4]).says(&["temporary server error", "organization queue quota", "tls rate exceeded"]),
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
