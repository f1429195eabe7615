//! The token cache over a paused clock, with scripted exchanges.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use tokio::task::JoinSet;
use tokio::time::{Instant, advance, sleep};

use super::*;
use crate::deadlines::Deadlines;
use crate::identity::certificate_file::CertificateFile;
use crate::identity::grant::Token;
use crate::identity::sign_in::{Application, TokenSource};
use crate::names::{Authority, Mailbox};
use crate::outcome::{Stage, TokenFault};
use crate::secret::Secret;
use crate::transport::dial::Dialer;
use crate::transport::tls;

const CANARY: &str = "canary-5up3r-s3cret";

/// Of every cloud but high volume email.
const MARGIN: Duration = Duration::from_secs(2 * 60);

/// Each exchange takes a second and has the next result; after the last one, tokens of 100 minutes.
#[derive(Clone, Default)]
pub(super) struct Script {
    results: Arc<Mutex<VecDeque<Result<Token, Cause>>>>,
    calls: Arc<AtomicUsize>,
}

impl Script {
    fn of(results: impl IntoIterator<Item = Result<Token, Cause>>) -> Self {
        Self { results: Arc::new(Mutex::new(results.into_iter().collect())), calls: Arc::default() }
    }

    pub(super) async fn run(&self) -> Result<Token, Cause> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        sleep(seconds(1)).await;
        let next = self.results.lock().unwrap().pop_front();
        assert_ne!(next, Some(Err(Cause::Closed)), "a panic on purpose");
        next.unwrap_or_else(|| lives_for(100))
            .map(|token| Token { access_token: Secret::new(format!("{CANARY}-{call}")), ..token })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

fn identity(script: &Script) -> Arc<Identity> {
    identity_with(MARGIN, script)
}

fn identity_with(margin: Duration, script: &Script) -> Arc<Identity> {
    Arc::new(Identity::tokens("app@contoso.com".to_string(), margin, Exchange::Scripted(script.clone())))
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn minutes(n: u64) -> Duration {
    seconds(n * 60)
}

fn lives_for(n: u64) -> Result<Token, Cause> {
    lives_for_seconds(n * 60)
}

fn lives_for_seconds(n: u64) -> Result<Token, Cause> {
    Ok(Token { access_token: Secret::new(String::new()), expires_in: seconds(n), refresh_token: None })
}

fn refusal() -> Result<Token, Cause> {
    Err(Cause::Token(TokenFault::Refused {
        status: 401,
        error: "invalid_client".to_string(),
        description: "AADSTS7000215: Invalid client secret provided.".to_string(),
        codes: vec![7_000_215],
        secret: None,
    }))
}

fn busy(retry_after: Option<u64>) -> Result<Token, Cause> {
    Err(Cause::Token(TokenFault::Status { status: 429, retry_after: retry_after.map(seconds) }))
}

fn generation(credential: &Credential) -> (u64, bool) {
    match credential {
        Credential::Xoauth2 { generation, fresh, .. } => (*generation, *fresh),
        Credential::Login { .. } | Credential::Nobody => panic!("{credential:?}"),
    }
}

/// The background renewal, and when it said what.
fn keep(identity: &Arc<Identity>) -> Arc<Mutex<Vec<(u64, String)>>> {
    let events = Arc::new(Mutex::new(Vec::new()));
    let (told, identity, start) = (Arc::clone(&events), Arc::clone(identity), Instant::now());
    tokio::spawn(async move {
        identity
            .keep_fresh(move |event| {
                let words = match event {
                    RenewalEvent::Renewed { generation, .. } => format!("token {generation}"),
                    RenewalEvent::Failed { again_in, still_good_for, .. } => {
                        format!(
                            "again in {}, good for {:?}",
                            again_in.as_secs(),
                            still_good_for.map(|d| d.as_secs())
                        )
                    }
                };
                told.lock().unwrap().push((start.elapsed().as_secs(), words));
            })
            .await
    });
    events
}

#[tokio::test(start_paused = true)]
async fn fifty_mails_wait_for_one_request() {
    let script = Script::default();
    let identity = identity(&script);
    let mut mails = JoinSet::new();
    for _ in 0..50 {
        let identity = Arc::clone(&identity);
        mails.spawn(async move { generation(&identity.credential().await.unwrap()) });
    }
    while let Some(got) = mails.join_next().await {
        assert_eq!(got.unwrap(), (1, true));
    }
    assert_eq!(generation(&identity.credential().await.unwrap()), (1, false));
    assert_eq!(script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_mail_that_is_given_up_does_not_take_the_request_with_it() {
    let script = Script::default();
    let identity = identity(&script);
    let (first, second) = (Arc::clone(&identity), Arc::clone(&identity));
    let first = tokio::spawn(async move { first.credential().await });
    let second = tokio::spawn(async move { second.credential().await });
    tokio::task::yield_now().await;
    first.abort();
    assert_eq!(generation(&second.await.unwrap().unwrap()), (1, true));
    assert_eq!(script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn tokens_are_renewed_at_70_percent_and_at_least_10_minutes_before_the_end() {
    // 70 %; 10 minutes before the end (where that is earlier: under 33 minutes); 70 % where 10 minutes are too much.
    for (life, renewed_at) in [(100, minutes(70)), (60, minutes(42)), (24, minutes(14)), (10, minutes(7))] {
        let script = Script::of([lives_for(life)]);
        let identity = identity(&script);
        let events = keep(&identity);
        sleep(renewed_at - seconds(1)).await;
        assert_eq!(script.calls(), 1, "{life}");
        sleep(seconds(3)).await;
        let at = renewed_at.as_secs() + 1;
        assert_eq!(
            *events.lock().unwrap(),
            [(1, "token 1".to_string()), (at, "token 2".to_string())],
            "{life}"
        );
        assert_eq!(generation(&identity.credential().await.unwrap()), (2, false));
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_token_serves_while_its_renewal_fails_but_not_in_its_last_two_minutes() {
    let script = Script::of([lives_for(10), busy(None), busy(None), busy(Some(3000))]);
    let identity = identity(&script);
    let events = keep(&identity);
    sleep(minutes(7) + seconds(10)).await;
    assert_eq!(
        *events.lock().unwrap(),
        [
            (1, "token 1".to_string()),
            (421, "again in 1, good for Some(59)".to_string()),
            (423, "again in 2, good for Some(57)".to_string()),
            (426, "again in 300, good for Some(54)".to_string()),
        ]
    );
    assert_eq!(generation(&identity.credential().await.unwrap()), (1, false));
    sleep(seconds(50)).await;
    let fault = identity.credential().await.unwrap_err();
    assert_eq!((fault.stage(), Err(fault.cause().clone())), (Stage::Token, busy(Some(3000))));
    assert_eq!(script.calls(), 4);
    sleep(minutes(5)).await;
    assert_eq!(generation(&identity.credential().await.unwrap()), (2, false));
}

#[tokio::test(start_paused = true)]
async fn a_token_without_renewal_is_replaced_when_a_mail_needs_it() {
    let script = Script::of([lives_for(10)]);
    let identity = identity(&script);
    let Ok(Credential::Xoauth2 { good_until, .. }) = identity.credential().await else { panic!() };
    // The life counts from the request, which took a second.
    assert_eq!(good_until - Instant::now(), minutes(8) - seconds(1));
    advance(minutes(8) - seconds(2)).await;
    assert_eq!(generation(&identity.credential().await.unwrap()), (1, false));
    advance(seconds(1)).await;
    assert_eq!(generation(&identity.credential().await.unwrap()), (2, true));
}

/// A platform's cache gives what is left of a token, be it little.
#[tokio::test(start_paused = true)]
async fn a_short_token_is_used_while_it_lives() {
    for (life, good_for) in [(170, 60), (150, 60), (50, 50), (181, 61)] {
        let script = Script::of([lives_for_seconds(life), lives_for_seconds(3600)]);
        let identity = identity(&script);
        let Ok(Credential::Xoauth2 { good_until, .. }) = identity.credential().await else {
            panic!("{life}")
        };
        // The life counts from the request, which took a second.
        assert_eq!(good_until - Instant::now(), seconds(good_for - 1), "{life}");
        advance(seconds(good_for - 2)).await;
        assert_eq!(generation(&identity.credential().await.unwrap()), (1, false), "{life}");
        advance(seconds(1)).await;
        assert_eq!(generation(&identity.credential().await.unwrap()), (2, true), "{life}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_token_is_not_renewed_in_a_circle() {
    let script = Script::of((0..20).map(|_| lives_for_seconds(3)));
    let identity = identity(&script);
    let _events = keep(&identity);
    sleep(seconds(61)).await;
    assert!((5..=7).contains(&script.calls()), "{}", script.calls());
}

/// High Volume Email refuses it there: "501 5.5.127 Invalid XOAUTH2 auth data - Token will expire soon".
#[tokio::test(start_paused = true)]
async fn for_high_volume_email_no_token_is_used_in_its_last_ten_minutes() {
    let script = Script::of([lives_for(60), busy(None), lives_for(60)]);
    let identity = identity_with(minutes(11), &script);
    identity.credential().await.unwrap();
    // The life counts from the request, which took a second.
    advance(minutes(49) - seconds(2)).await;
    assert_eq!(generation(&identity.credential().await.unwrap()), (1, false));
    advance(seconds(1)).await;
    // Not even while there is no other.
    assert_eq!(identity.credential().await.unwrap_err().stage(), Stage::Token);
    advance(minutes(5)).await;
    assert_eq!(generation(&identity.credential().await.unwrap()), (2, true));
}

#[tokio::test(start_paused = true)]
async fn a_535_throws_the_token_away_once() {
    let script = Script::default();
    let identity = identity(&script);
    let fresh = identity.credential().await.unwrap();
    let cached = identity.credential().await.unwrap();
    assert!(identity.refused(&cached), "it had been in the cache: one more attempt");
    let renewed = identity.credential().await.unwrap();
    assert_eq!(generation(&renewed), (2, true));
    assert!(!identity.refused(&fresh), "obtained for this mail: another will not help");
    assert_eq!(generation(&identity.credential().await.unwrap()), (2, false), "the new one stays");
    assert!(!identity.refused(&renewed));
    assert_eq!(generation(&identity.credential().await.unwrap()), (3, true));
    assert_eq!(script.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_remembered_for_ten_seconds() {
    let script = Script::of([refusal(), busy(None)]);
    let identity = identity(&script);
    for wait in [0, 0, 9] {
        advance(seconds(wait)).await;
        assert_eq!(Err(identity.credential().await.unwrap_err().cause().clone()), refusal());
    }
    assert_eq!(script.calls(), 1);
    advance(seconds(1)).await;
    assert_eq!(Err(identity.credential().await.unwrap_err().cause().clone()), busy(None));
    advance(seconds(1)).await;
    assert_eq!(generation(&identity.credential().await.unwrap()), (1, true));
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_is_honoured_by_mails_and_by_the_renewal() {
    let script = Script::of([busy(Some(120))]);
    let identity = identity(&script);
    let events = keep(&identity);
    sleep(seconds(119)).await;
    assert_eq!(Err(identity.credential().await.unwrap_err().cause().clone()), busy(Some(120)));
    assert_eq!(script.calls(), 1);
    sleep(seconds(4)).await;
    assert_eq!(
        *events.lock().unwrap(),
        [(1, "again in 120, good for None".to_string()), (122, "token 1".to_string())]
    );
}

#[tokio::test(start_paused = true)]
async fn the_renewal_backs_off_to_five_minutes() {
    let script = Script::of(std::iter::repeat_with(|| busy(None)).take(12));
    let events = keep(&identity(&script));
    sleep(minutes(60)).await;
    let pauses: Vec<_> = events.lock().unwrap().iter().map(|(_, words)| words.clone()).collect();
    let expected = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300];
    assert_eq!(pauses[..12], expected.map(|pause| format!("again in {pause}, good for None")));
    assert_eq!(pauses[12..], ["token 1"]);
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_panics_leaves_nobody_waiting() {
    let script = Script::of([Err(Cause::Closed)]);
    let identity = identity(&script);
    let fault = identity.credential().await.unwrap_err();
    assert!(matches!(fault.cause(), Cause::Token(TokenFault::Unreachable(_))), "{fault:?}");
    assert_eq!(generation(&identity.credential().await.unwrap()), (1, true));
}

/// An identity that signs in so.
fn configured(sign_in: SignIn) -> Identity {
    let deadlines = Deadlines::default();
    let http = Http::new(Dialer::new(&deadlines, None), tls::client_config(None, None).unwrap(), &deadlines);
    let mailbox = Mailbox::parse("app@contoso.com").unwrap();
    Identity::new(&IdentityOptions { mailbox, sign_in, token_margin: MARGIN }, http)
}

/// An application whose token service is a port where nobody listens.
fn application() -> Application {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port());
    Application {
        tenant: "contoso.com".to_string(),
        client_id: "8c1f6f3e-0b5d-4d0a-9a43-7f2b1c9e5d60".to_string(),
        authority: Authority::parse(&authority).unwrap(),
        scope: "https://outlook.office365.com/.default".to_string(),
    }
}

#[tokio::test]
async fn it_tells_when_its_certificate_ends() {
    let path = std::env::temp_dir().join(format!("mailshim-identity-certificate-{}", std::process::id()));
    std::fs::write(&path, office365::AppCertificate::valid(-1, 40).pem()).unwrap();
    let file = CertificateFile { path: path.clone(), password: None };
    let identity = configured(SignIn::Token(TokenSource::Certificate(application(), file)));
    let Method::Token(tokens) = &identity.method else { panic!("no tokens") };
    let days = || {
        let left = tokens.exchange.certificate_ends()?.duration_since(SystemTime::now()).unwrap();
        Some(left.as_secs() / 86_400)
    };
    assert_eq!(days(), None);
    let fault = identity.credential().await.unwrap_err();
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(fault.cause(), Cause::Token(TokenFault::NotReached { .. })), "{fault:?}");
    assert_eq!(days(), Some(39));
}

#[tokio::test]
async fn a_secret_file_that_cannot_be_read_is_a_set_up_fault_and_is_not_remembered() {
    let path = std::env::temp_dir().join(format!("mailshim-identity-{}", std::process::id()));
    std::fs::write(&path, CANARY).unwrap();
    let file = SecretSource::File(path.clone());
    let password = configured(SignIn::Password(file.clone()));
    let token = configured(SignIn::Token(TokenSource::Secret(application(), file)));
    std::fs::remove_file(&path).unwrap();
    for identity in [&password, &token] {
        let fault = identity.credential().await.unwrap_err();
        assert!(
            matches!(fault.cause(), Cause::SetUp(words) if words.contains("mailshim-identity")),
            "{fault:?}"
        );
    }
    std::fs::write(&path, format!("{CANARY}\n")).unwrap();
    let login = password.credential().await.unwrap();
    let fault = token.credential().await.unwrap_err();
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(fault.cause(), Cause::Token(TokenFault::NotReached { .. })), "{fault:?}");
    assert!(matches!(&login, Credential::Login { password, .. } if password.expose() == CANARY));
    assert!(!password.refused(&login));
    assert!(!format!("{login:?} {fault:?}").contains(CANARY));
}

#[tokio::test(start_paused = true)]
async fn no_credential_prints_its_token() {
    let identity = identity(&Script::default());
    let credential = identity.credential().await.unwrap();
    let Credential::Xoauth2 { token, .. } = &credential else { panic!("{credential:?}") };
    assert!(token.expose().contains(CANARY));
    assert!(!format!("{credential:?} {token}").contains(CANARY));
}
