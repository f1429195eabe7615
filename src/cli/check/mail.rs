//! The test mail.

use std::time::SystemTime;

use bytes::Bytes;

use crate::config::Config;
use crate::message::address::written;
use crate::message::header::append;
use crate::message::{Envelope, HeldContent, MessageId, NotPrepared, prepare};
use crate::smtp::command::{Mail, Recipient};
use crate::smtp::path::Address;

pub(super) struct TestMail {
    pub envelope: Envelope,
    pub content: HeldContent<'static>,
}

/// The mail that is asked about, and sent with `--send`: from MAILSHIM_FROM, by the sender policy, as an app's would be.
pub(super) async fn test_mail(config: &Config, send_to: Option<&Address>) -> Result<TestMail, String> {
    let policy = &config.policy;
    let from = &policy.from;
    let to = send_to.unwrap_or(&from.address);
    if send_to.is_some() && !policy.judge_recipient(to) {
        return Err(format!("{to} is not in MAILSHIM_ALLOWED_RECIPIENTS"));
    }
    let mail = Mail { reverse_path: Some(from.address.clone()), ..Mail::default() };
    let recipient = Recipient { address: to.clone(), notify: None, orcpt: None };
    let envelope = Envelope { mail, recipients: vec![recipient] };
    let mut fields = Vec::new();
    append(&mut fields, "From", &written(from.display.as_deref(), &from.address));
    append(&mut fields, "To", &written(None, to));
    append(&mut fields, "Subject", "Test mail of mailshim check");
    append(&mut fields, "Content-Type", "text/plain; charset=us-ascii");
    // Automatic replies to it would only confuse (RFC 3834 section 5).
    append(&mut fields, "Auto-Submitted", "auto-generated");
    fields.extend_from_slice(b"\r\n");
    let body =
        "This mail was sent by `mailshim check --send`: the way from mailshim to Office 365 works.\r\n";
    let mut content = HeldContent::in_memory([Bytes::from(fields), Bytes::from_static(body.as_bytes())]);
    let now = SystemTime::now();
    match prepare(MessageId::next(now), &envelope, &mut content, policy, now).await {
        Ok(prepared) => Ok(TestMail { envelope: prepared.message.envelope, content }),
        Err(NotPrepared::Unsendable(refusal)) => Err(refusal.to_string()),
        // It is in memory: nothing can be missing.
        Err(NotPrepared::Abandoned(_) | NotPrepared::NoRoom) => Err("the test mail is not whole".to_string()),
    }
}
