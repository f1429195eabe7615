//! Every reply of OFFICE365.md section 4, as it comes, with the suffixes that section leaves out; every token code of 6.5.

use mailshim::outcome::Stage::{self, Auth, Content, Ehlo, Greeting, Mail, Rcpt, StartTls, Verdict};

/// A heading, or where replies come and what they are.
pub type Case = (&'static [Stage], &'static str);

pub const FRONT: &str = " [SY5P282CA0097.AUSP282.PROD.OUTLOOK.COM 2025-11-23T11:12:25.781Z 08DE2A6028D26C22]";
pub const STORE: &str = " [Hostname=SYBP282MB2635.AUSP282.PROD.OUTLOOK.COM]";

/// The reply with the suffix that its stage has.
pub fn as_it_comes(stage: Stage, reply: &str) -> String {
    format!("{reply}{}", if stage == Verdict { STORE } else { FRONT })
}

pub const REPLIES: &[Case] = &[
    (&[], "The sign-in"),
    (&[Auth], "535 5.7.3 Authentication unsuccessful"),
    (
        &[Auth],
        "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information.",
    ),
    (
        &[Auth],
        "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. Visit https://aka.ms/smtp_auth_disabled for more information.",
    ),
    (
        &[Auth],
        "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.",
    ),
    (
        &[Auth],
        "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy. Contact your administrator.",
    ),
    (
        &[Auth],
        "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully. Contact your administrator.",
    ),
    (
        &[Auth],
        "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.",
    ),
    (
        &[Auth],
        "535 5.7.139 Authentication unsuccessful, federated STS service was unreachable.",
    ),
    (
        &[Auth],
        "535 5.7.139 Authentication unsuccessful, the federated STS URL does not support HTTPS.",
    ),
    (
        &[Auth],
        "535 5.7.139 Authentication unsuccessful, the organization configuration does not allow this authentication",
    ),
    (
        &[Auth, Mail],
        "550 5.7.30 Basic authentication is not supported for Client Submission.",
    ),
    (&[Auth], "504 5.7.4 Unrecognized authentication type"),
    (&[Auth, Mail], "451 5.7.3 Require STARTTLS to authenticate"),
    (&[Mail], "451 5.7.3 STARTTLS is required to send mail"),
    (&[Mail], "530 5.7.0 Must issue a STARTTLS command first"),
    (&[Auth], "454 4.7.0 Temporary authentication failure"),
    (&[Auth], "535 Authentication failed"),
    (&[Auth], "550 Not today"),
    (
        &[Auth],
        "500 5.3.3 Unrecognized command 'AUTH XOAUTH2 dXNlcj10ZXN0QGNvbnRvc28ub25taWNyb3NvZnQuY29tAWF1dGg9QmVhcmVyIEV3QkE='",
    ),
    (
        &[Mail],
        "530 5.7.57 Client not authenticated to send mail. Error: 535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information.",
    ),
    (&[Mail], "530 5.7.57 Client not authenticated to send mail."),
    (
        &[Mail],
        "530 5.7.57 SMTP; Client was not authenticated to send anonymous mail during MAIL FROM",
    ),
    (
        &[],
        "The sender (first if the app chose it, then if MAILSHIM_FROM did)",
    ),
    (
        &[Mail, Verdict],
        "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
    ),
    (
        &[Verdict],
        "554 5.2.252 SendAsDenied; app@contoso.com not allowed to send as boss@contoso.com; STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to process message due to a permanent exception with message [BeginDiagnosticData]Cannot submit message. 0.35250:0A000130, 1.36674:0A000000, 1.61250:00000000, 1.45378:02000000, 1.44866:C6000000, 16.55847:B4000000, 17.43559:0000000068000000000000000000000000000000, 255.1494:14000000, 0.37692:86000000, 0.37948:0F010480[EndDiagnosticData]",
    ),
    (
        &[Verdict],
        "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to process message due to a permanent exception with message Cannot submit message. 16.55847:18000000",
    ),
    (
        &[Mail, Verdict],
        "550 5.7.1 Client does not have permissions to send on behalf of the from address",
    ),
    (&[Mail], "501 5.1.7 Invalid address"),
    (
        &[Verdict],
        "550 5.7.509 Access denied, sending domain contoso.com does not pass DMARC verification and has a DMARC policy of reject.",
    ),
    (&[Verdict], "550 5.1.8 Access denied, bad outbound sender"),
    (
        &[Verdict],
        "550 5.1.20 Multiple From addresses are not allowed without Sender address",
    ),
    (
        &[Verdict],
        "550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant",
    ),
    (&[], "The mailbox"),
    (
        &[Verdict],
        "430 4.2.0 STOREDRV; mailbox logon failure; Failed to process message due to a transient exception with message [BeginDiagnosticData]Cannot open mailbox /o=ExchangeLabs/cn=app. MapiExceptionLogonFailed: Unable to open message store. 16.55847:EC000000[EndDiagnosticData]",
    ),
    (
        &[Verdict],
        "554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException.MapiExceptionShutoffQuotaExceeded; Failed to process message due to a permanent exception with message Cannot submit message.",
    ),
    (
        &[Verdict],
        "554 5.2.0 STOREDRV.Submission.Exception:QuotaExceededException.MapiExceptionQuotaExceeded; Failed",
    ),
    (
        &[Verdict],
        "554 5.2.2 Mailbox full. Visit https://aka.ms/mailboxfull for more information.",
    ),
    (
        &[Verdict],
        "554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; Failed to process message due to a permanent exception with message WASCL UserAction verdict is not None. Actual verdict is RefuseQuota",
    ),
    (&[], "Throttling"),
    (
        &[Verdict],
        "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded",
    ),
    (
        &[Verdict],
        "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information.",
    ),
    (
        &[Mail, Verdict],
        "421 4.4.2 Message submission rate for this client has exceeded the configured limit",
    ),
    (
        &[Verdict],
        "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException.MapiExceptionSubmissionQuotaExceeded; Failed",
    ),
    (
        &[Verdict],
        "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients",
    ),
    (&[Verdict], "554 5.2.2 Submission quota exceeded"),
    (
        &[Verdict],
        "550 The message can't be submitted because the sender's submission quota was exceeded.",
    ),
    (
        &[Verdict],
        "550 5.7.232 Your message can't be sent because your trial tenant has exceeded its daily limit for sending email to external recipients",
    ),
    (
        &[Verdict],
        "550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit for sending email to external recipients (tenant external recipient rate limit)",
    ),
    (
        &[Verdict],
        "550 5.7.236 Your message can't be sent because your tenant exceeded its limit for onmicrosoft.com senders",
    ),
    (
        &[Verdict],
        "550 5.2.251 Sender throttled due to continuous mailbox full errors",
    ),
    (
        &[Verdict],
        "550 5.2.252 Sender throttled due to continuous send as denied errors",
    ),
    (
        &[Verdict],
        "550 5.2.253 Sender throttled due to continuous invalid license errors",
    ),
    (
        &[Verdict],
        "550 5.2.254 Sender throttled due to continuous too many recipients errors",
    ),
    (
        &[Verdict],
        "550 5.2.255 Sender throttled due to continuous invalid recipients errors",
    ),
    (&[Verdict], "550 5.2.255 worded otherwise"),
    (
        &[Greeting],
        "421 4.3.2 The maximum number of concurrent connections has exceeded a limit, closing transmission channel",
    ),
    (
        &[Greeting],
        "421 4.3.2 The maximum number of concurrent server connections has exceeded a limit, closing transmission channel PRX7",
    ),
    (&[], "The recipients"),
    (&[Rcpt], "452 4.5.3 Too many recipients"),
    (
        &[Verdict],
        "550 5.5.3 RESOLVER.ADR.RecipLimit; too many recipients",
    ),
    (&[Rcpt], "501 5.1.3 Invalid address"),
    (&[Rcpt], "501 5.1.3 Long addresses not supported"),
    (
        &[Rcpt, Verdict],
        "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient nobody@contoso.com not found by SMTP address lookup",
    ),
    (&[Rcpt], "550 5.4.1 Recipient address rejected: Access denied."),
    (&[Rcpt], "550 5.1.1 User unknown"),
    (
        &[Rcpt],
        "550 5.5.0 Requested action not taken: mailbox unavailable",
    ),
    (&[Rcpt], "552 5.2.2 Mailbox full"),
    (&[Rcpt], "450 4.2.1 Mailbox busy"),
    (&[Rcpt], "550 Something else"),
    (&[Rcpt], "550 5.7.12 Sender was not authenticated by organization"),
    (&[Verdict], "550 5.7.124 Sender not in allowed-senders list"),
    (
        &[Verdict],
        "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required",
    ),
    (
        &[Verdict],
        "550 5.7.136 RESOLVER.RST.SenderNotAuthenticatedForMailUser",
    ),
    (&[Rcpt], "550 5.7.505 Access denied, banned recipient"),
    (&[Rcpt], "550 5.7.507 Access denied, rejected by recipient"),
    (
        &[Rcpt],
        "550 5.7.513 Service unavailable, Client host [192.0.2.1] blocked by fabrikam.com using Customer Block list (AS16012607)",
    ),
    (
        &[Verdict],
        "550 5.7.703 Your message can't be delivered because one or more recipients are blocked by your organization using Tenant Allow Block List.",
    ),
    (&[], "The content"),
    (
        &[Mail, Verdict],
        "552 5.3.4 Message size exceeds fixed maximum message size",
    ),
    (&[Verdict], "552 5.3.4 Header size exceeds fixed maximum size"),
    (
        &[Verdict],
        "550 5.6.11 SMTPSEND.BareLinefeedsAreIllegal; message contains bare linefeeds, which cannot be sent via DATA and receiving system does not support BDAT",
    ),
    (
        &[Verdict],
        "554 5.6.0 Invalid message content, contains bare linefeeds",
    ),
    (&[Verdict], "554 5.6.0 Invalid message content"),
    (&[Verdict], "554 5.6.0 Corrupt message content"),
    (
        &[Verdict],
        "554 5.6.1 Messages of type message/partial are not supported",
    ),
    (
        &[Verdict],
        "554 5.4.14 Hop count exceeded - possible mail loop ATTR34",
    ),
    (&[Verdict], "554 5.4.6 Hop count exceeded - possible mail loop"),
    (&[Mail], "501 5.1.6 SMTPUTF8 argument required."),
    (&[Verdict], "554 Transaction failed"),
    (&[Content], "554 5.5.1 no valid recipients"),
    (&[], "Syntax and sequence"),
    (&[Mail, Rcpt], "501 5.5.4 Invalid arguments"),
    (&[Mail, Rcpt], "501 5.5.4 Unrecognized parameter"),
    (&[Mail], "501 5.5.4 Unsupported BODY type"),
    (&[Rcpt], "500 5.5.2 Command too long"),
    (&[Mail], "500 5.3.3 Unrecognized command 'unknown'"),
    (&[Mail], "503 5.5.2 Send hello first"),
    (&[Rcpt], "503 5.5.2 Need mail command"),
    (&[Content], "503 5.5.2 Need rcpt command"),
    (&[Content], "503 5.5.1 Bad sequence of commands"),
    (&[Ehlo], "501 5.5.4 Invalid domain name"),
    (&[], "The service"),
    (
        &[Mail, Verdict],
        "451 4.7.0 Temporary server error. Please try again later. PRX2",
    ),
    (
        &[Verdict],
        "451 4.3.2 Temporary server error. Please try again later ATTR55",
    ),
    (
        &[Rcpt],
        "451 4.4.3 Temporary server error. Please try again later ATTR3.4",
    ),
    (&[Greeting, Verdict], "421 4.3.2 Service not available"),
    (&[Mail], "421 4.3.2 Service not active"),
    (&[Mail], "421 4.3.2 System not accepting network messages"),
    (&[Mail], "451 4.3.2 System not accepting network messages"),
    (&[Mail], "452 4.3.1 Insufficient system resources"),
    (&[Verdict], "451 4.4.0 Message failed to be made redundant"),
    (
        &[StartTls],
        "454 4.7.0 Cannot accept TLS as maximum TLS rate exceeded for server",
    ),
    (&[Rcpt], "450 4.7.0 Organization queue quota exceeded."),
    (&[Mail], "421 4.4.2 Connection dropped"),
    (
        &[Mail, Verdict],
        "421 4.4.1 Connection timed out. Total session duration: 00:10:01.8930000",
    ),
    (
        &[Mail],
        "421 4.7.0 Too many errors on this connection, closing transmission channel",
    ),
    (
        &[Ehlo],
        "421 4.7.66 TLS 1.0 and 1.1 are not supported. Please upgrade/update your client to support TLS 1.2. Visit https://aka.ms/smtp_auth_tls",
    ),
    (&[Greeting], "554 No SMTP service here"),
    (&[Verdict], "451 Something for later"),
    (&[Verdict], "550 4.9.9 A contradiction"),
    (&[Verdict], "451 5.9.9 Another contradiction"),
    (&[], "Connector and direct send (MX endpoint)"),
    (
        &[Rcpt],
        "451 4.7.500 Access denied, please try again later (AS77712)",
    ),
    (&[Rcpt], "451 4.7.699 Access denied, please try again later"),
    (&[Rcpt], "451 4.7.850 Access denied, please try again later"),
    (
        &[Rcpt],
        "451 4.4.62 Mail sent to the wrong Office 365 region. ATTR35",
    ),
    (&[Rcpt], "550 5.4.1 Relay Access Denied"),
    (&[Rcpt], "550 5.7.1 Unable to relay"),
    (&[Rcpt], "550 5.7.64 TenantAttribution; Relay Access Denied SMTP"),
    (&[Rcpt], "550 5.7.64 Relay Access Denied ATTR36"),
    (
        &[Verdict],
        "550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization from unauthorized sources",
    ),
    (
        &[Rcpt],
        "550 4.4.4 Mail received as unauthenticated, incoming to a recipient domain configured in a hosted tenant which has no mail-enabled subscriptions. ATTR5",
    ),
    (&[Verdict], "550 5.7.501 Access denied, spam abuse detected"),
    (&[Mail], "550 5.7.502 Access denied, banned sender"),
    (&[Mail], "550 5.7.503 Access denied, banned sender"),
    (&[Mail], "550 5.7.511 Access denied, banned sender"),
    (&[Mail], "550 5.7.506 Access Denied, Bad HELO"),
    (
        &[Mail],
        "550 5.7.508 Access denied, 2001:db8::1 has exceeded permitted limits within /64 range",
    ),
    (
        &[Rcpt],
        "550 5.7.510 Access denied, fabrikam.com does not accept email over IPv6",
    ),
    (
        &[Mail],
        "550 5.7.606 Access denied, banned sending IP [192.0.2.1].",
    ),
    (
        &[Mail],
        "550 5.7.649 Access denied, banned sending IP [192.0.2.1].",
    ),
    (&[Mail], "550 5.7.800 Access denied, banned sender (domain)"),
    (
        &[Verdict],
        "550 5.7.705 Access denied, tenant has exceeded threshold",
    ),
    (
        &[Verdict],
        "550 5.7.708 Access denied, traffic not accepted from this IP",
    ),
    (
        &[Mail],
        "550 5.7.750 Service unavailable. Client blocked from sending from unregistered domains",
    ),
    (&[], "High Volume Email"),
    (&[Auth], "501 5.5.121 Invalid XOAUTH2 auth data"),
    (
        &[Auth],
        "501 5.5.124 Invalid XOAUTH2 auth data - User address provided is not valid",
    ),
    (&[Auth], "501 5.5.126 Invalid XOAUTH2 argument"),
    (
        &[Auth],
        "501 5.5.127 Invalid XOAUTH2 auth data - Token will expire soon",
    ),
    (&[Auth], "535 5.7.142 Token will expire soon"),
    (&[Auth], "535 5.7.143 Expired token"),
    (
        &[Auth],
        "535 5.7.144 XOAUTH2 authentication failed. Invalid API permissions",
    ),
    (
        &[Auth],
        "550 5.7.240 The application is not allowed for use with this High Volume Email account",
    ),
];

/// One AADSTS code a row, with the `error` that it comes with.
pub const TOKEN_CODES: &[(&str, &[u32])] = &[
    (
        "invalid_client",
        &[
            7_000_215, 7_000_222, 7_000_112, 7_000_218, 700_025, 700_027, 700_024, 700_030, 50012, 70021,
            700_211, 700_212, 700_213, 90061, 7_000_229,
        ],
    ),
    ("unauthorized_client", &[700_016, 700_011, 70001]),
    (
        "invalid_request",
        &[90002, 90038, 900_382, 900_432, 9_001_023, 50194, 900_144],
    ),
    (
        "invalid_scope",
        &[
            70011, 28002, 28003, 700_022, 500_011, 650_052, 650_057, 65001, 65005, 90094,
        ],
    ),
    (
        "invalid_grant",
        &[
            50034, 50126, 50055, 50056, 50057, 50053, 50076, 50079, 50074, 50072, 50158, 53003, 530_032,
            53000, 53001, 53002, 50131, 530_035, 70000, 700_082, 70008, 70043, 50173, 50089, 70018, 70019,
            50196, 1_234_567,
        ],
    ),
    ("authorization_pending", &[70016]),
    (
        "invalid_request",
        &[90033, 90024, 90006, 90012, 50033, 50087, 90055, 40010, 80014],
    ),
    // `error` is above the code.
    ("temporarily_unavailable", &[1_234_567, 7_000_215]),
];
