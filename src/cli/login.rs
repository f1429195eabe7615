//! `mailshim login`: a person signs in once, on any device, and the refresh token goes into
//! `MAILSHIM_REFRESH_TOKEN_FILE` (the device authorization grant, RFC 8628; a public client, so without a secret).

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::exit::USAGE;
use crate::config::{self, Login};
use crate::deadlines::Deadlines;
use crate::identity::grant::{self, Polled, Token};
use crate::identity::sign_in::Application;
use crate::identity::token_file;
use crate::outcome::{Cause, Context, Fault, Judgement, Retry, Stage, TokenFault, judge};
use crate::secret::Secret;
use crate::transport::dial::Dialer;
use crate::transport::http::Http;
use crate::transport::tls;

/// What each `slow_down` adds to the pause between two questions (RFC 8628 section 3.5).
const SLOWER: Duration = Duration::from_secs(5);

pub(super) fn login() -> ExitCode {
    let login = match config::login(std::env::vars_os()) {
        Ok(login) => login,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::from(USAGE);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("mailshim login: the runtime cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(run(&login, |line| println!("{line}")));
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Ended::SetUp(words)) => {
            eprintln!("mailshim login: {words}");
            ExitCode::from(USAGE)
        }
        Err(Ended::Failed(words)) => {
            eprintln!("mailshim login: {words}");
            ExitCode::FAILURE
        }
    }
}

/// Why nothing was written, in words.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// The set-up is wrong: exit code 64.
    SetUp(String),
    /// Anything else: 1.
    Failed(String),
}

async fn run(login: &Login, mut say: impl FnMut(&str)) -> Result<(), Ended> {
    let file = &login.refresh_token_file;
    // Before a person takes the trouble.
    token_file::try_to_write(file).await.map_err(|problem| {
        Ended::SetUp(format!("MAILSHIM_REFRESH_TOKEN_FILE: cannot be written: {problem}"))
    })?;
    let deadlines = Deadlines::default();
    let tls = tls::client_config(login.ca_file.as_deref(), None).map_err(Ended::SetUp)?;
    let http = Http::new(Dialer::new(&deadlines, login.egress_proxy.clone()), Arc::clone(&tls), &deadlines);
    let token = sign_in(&login.application, &http, &mut say).await.map_err(Ended::Failed)?;
    token_file::replace(file, None, &token).await.map_err(|problem| {
        Ended::Failed(format!("signed in, but the sign-in could not be kept: {problem}"))
    })?;
    say(&format!("Signed in. The refresh token is in {}, for mailshim to use.", file.display()));
    Ok(())
}

/// The whole conversation; ends with the refresh token, or with a sentence.
async fn sign_in(
    application: &Application,
    http: &Http,
    say: &mut impl FnMut(&str),
) -> Result<Secret<String>, String> {
    let Application { tenant, client_id, scope, .. } = application;
    let authority = application.authority.host_port();
    let request = grant::device_code(tenant, client_id, scope);
    let answer = http.post(&authority.host, authority.port, &request.path, &request.body).await;
    let code =
        answer.and_then(|answer| request.interpret_device_code(&answer)).map_err(|fault| in_words(&fault))?;
    let ends = Instant::now() + code.expires_in;
    say(&code.message);
    say(&format!(
        "Waiting for the sign-in, at most {} minutes (Ctrl-C ends it).",
        code.expires_in.as_secs().div_ceil(60)
    ));

    let request = grant::device_token(tenant, client_id, &code.code);
    let ask = async || {
        let answer = http.post(&authority.host, authority.port, &request.path, &request.body).await;
        answer.and_then(|answer| request.interpret_device_token(&answer))
    };
    let token = wait_for_person(code.interval, ends, ask, say).await?;
    token.refresh_token.ok_or_else(|| {
        "signed in, but the token service gave no refresh token: MAILSHIM_OAUTH_SCOPE must allow offline_access".to_string()
    })
}

/// Asks until the person has signed in, or the code ends.
async fn wait_for_person(
    mut interval: Duration,
    ends: Instant,
    ask: impl AsyncFn() -> Result<Polled, TokenFault>,
    say: &mut impl FnMut(&str),
) -> Result<Token, String> {
    while Instant::now() + interval < ends {
        sleep(interval).await;
        match ask().await {
            Ok(Polled::Granted(token)) => return Ok(token),
            Ok(Polled::Pending) => {}
            Ok(Polled::SlowDown) => interval += SLOWER,
            Ok(Polled::Declined) => {
                return Err("the sign-in was declined in the browser: nothing was written".to_string());
            }
            Ok(Polled::Expired) => break,
            // The person is in the middle of it: a connection that breaks once must not end that.
            Err(fault) if passes(&fault) => say(&format!("Still waiting: {}", in_words(&fault))),
            Err(fault) => return Err(in_words(&fault)),
        }
    }
    Err("nobody signed in within the time that the code is good for: run mailshim login again".to_string())
}

fn judged(fault: &TokenFault) -> (String, Judgement) {
    let fault = Fault::new(Stage::Token, Cause::Token(fault.clone()));
    (fault.to_string(), judge(&fault, &Context::default()))
}

fn passes(fault: &TokenFault) -> bool {
    judged(fault).1.retry == Retry::Again
}

fn in_words(fault: &TokenFault) -> String {
    let (words, judgement) = judged(fault);
    match judgement.hint {
        Some(hint) => format!("{words}\n{hint}"),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn minutes(n: u64) -> Duration {
        Duration::from_secs(60 * n)
    }

    /// What came of these answers, what was said, and after how many seconds each question came.
    async fn waited(
        answers: Vec<Result<Polled, TokenFault>>,
    ) -> (Result<Token, String>, Vec<String>, Vec<u64>) {
        let (begun, asked, said) = (Instant::now(), RefCell::new(Vec::new()), RefCell::new(Vec::new()));
        let answers = RefCell::new(answers.into_iter());
        let ask = async || {
            asked.borrow_mut().push(begun.elapsed().as_secs());
            answers.borrow_mut().next().unwrap_or(Ok(Polled::Pending))
        };
        let mut say = |line: &str| said.borrow_mut().push(line.to_string());
        let result = wait_for_person(Duration::from_secs(5), begun + minutes(15), ask, &mut say).await;
        (result, said.into_inner(), asked.into_inner())
    }

    fn token() -> Token {
        Token { access_token: Secret::new("x".to_string()), expires_in: minutes(60), refresh_token: None }
    }

    #[tokio::test(start_paused = true)]
    async fn it_asks_at_the_interval_and_slower_when_told() {
        let answers = vec![
            Ok(Polled::Pending),
            Ok(Polled::SlowDown),
            Ok(Polled::Pending),
            Ok(Polled::Granted(token())),
        ];
        let (result, said, asked) = waited(answers).await;
        assert_eq!((result, said, asked), (Ok(token()), Vec::new(), vec![5, 10, 20, 30]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_breaks_does_not_end_it_and_a_refusal_does() {
        let broken = Err(TokenFault::Unreachable("the network is away".to_string()));
        let refused = Err(TokenFault::Refused {
            status: 400,
            error: "invalid_client".to_string(),
            description: "AADSTS7000218: The request body must contain client_secret.".to_string(),
            codes: vec![7_000_218],
            secret: None,
        });
        let (result, said, asked) = waited(vec![broken, refused]).await;
        assert!(said.len() == 1 && said[0].contains("the network is away"), "{said:?}");
        assert!(result.unwrap_err().contains("allow public client flows"));
        assert_eq!(asked, [5, 10]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_the_person_declines_or_the_code_expires() {
        let (result, ..) = waited(vec![Ok(Polled::Declined)]).await;
        assert!(result.unwrap_err().contains("declined"));
        let (result, ..) = waited(vec![Ok(Polled::Expired)]).await;
        assert!(result.unwrap_err().contains("run mailshim login again"));
        let (result, _, asked) = waited(Vec::new()).await;
        assert!(result.unwrap_err().contains("nobody signed in"));
        assert_eq!(asked.len(), 15 * 60 / 5 - 1, "it stops before the code's end, not after it");
    }
}
