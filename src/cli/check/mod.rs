//! `mailshim check`: the way to Office 365 rung by rung, on the code that delivers; on the first rung that does not hold,
//! why and what to do.

mod advice;
mod exchange;
mod configuration;
mod fleet;
mod known;
mod mail;
mod notes;
mod rung;
mod screen;
mod spool;
mod token;
mod way;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::IpAddr;
use std::ops::Range;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::ArgMatches;
use tokio::time::sleep;

use crate::cli::exit::USAGE;
use crate::cli::serve::{self, Watchers};
use crate::config::{Config, names_in_force};
use crate::credential::Credential;
use crate::deadlines::Deadlines;
use crate::delivery;
use crate::identity::Identity;
use crate::identity::sign_in::{ManagedEndpoint, SignIn, TokenSource};
use crate::message::Envelope;
use crate::outcome::{Cause, Fault, Outcome, Stage};
use crate::smtp::path::Address;
use crate::smtp::reply::Reply;
use crate::upstream::connection::Connection;
use crate::upstream::connector::Connector;
use advice::advise;
use configuration::unusable;
use known::Known;
use mail::{TestMail, test_mail};
use notes::{Noted, Notes};
use token::Claims;
use way::{dns, ehlo, starttls, tcp};

pub use rung::{End, RUNGS, Rung, State};
pub use screen::Screen;
pub use spool::spool as spool_rung;

const NEEDS_NOTHING: &str = "nothing to check here";

pub(super) fn check(given: &ArgMatches) -> ExitCode {
    let (send_to, as_json) = (given.get_one::<Address>("send"), given.get_flag("json"));
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("mailshim check: the runtime cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    // https://no-color.org: set and not empty.
    let in_colour =
        io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let on_terminal = io::stdout().is_terminal() && !as_json;
    let width = on_terminal.then(terminal_width).flatten();
    let mut screen = Screen::new(in_colour, width, send_to.is_some());
    let vars: Vec<_> = std::env::vars_os().collect();
    let rungs = rungs_of(&vars, send_to.is_some());
    let tell = |rung: &Rung| {
        let mut text = if as_json { rung.json() } else { screen.rung(rung) };
        if on_terminal {
            text.insert_str(0, Screen::erase());
            let next = rungs.iter().skip_while(|name| **name != rung.name).nth(1);
            let goes_on = matches!(rung.state, State::Passed | State::Skipped);
            text.extend(next.filter(|_| goes_on).map(|next| Screen::waiting(next)));
        }
        say(&text);
    };
    let end = runtime.block_on(climb(vars, Deadlines::default(), send_to, tell));
    if !as_json {
        say(&screen.end(end));
    }
    // Not dropped: that would wait for a look-up that blocks.
    runtime.shutdown_background();
    match end {
        End::Holds => ExitCode::SUCCESS,
        End::BadConfiguration => ExitCode::from(USAGE),
        End::Fails => ExitCode::FAILURE,
    }
}

/// Nobody is left to tell if they do not take it; the exit code says the rest.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
}

fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}

/// Goes up the ladder with these environment variables, and tells each rung as soon as it is known.
pub async fn climb(
    vars: Vec<(OsString, OsString)>,
    deadlines: Deadlines,
    send_to: Option<&Address>,
    tell: impl FnMut(&Rung),
) -> End {
    let mut ladder = Ladder { tell, told: 0, rungs: rungs_of(&vars, send_to.is_some()) };
    let other_proxy = other_proxy(&vars);
    let names = names_in_force(vars.iter().cloned());
    let deadlines = Arc::new(deadlines);
    let (upstream, token) = (Arc::new(Notes::default()), Arc::new(Notes::default()));
    let watchers = Watchers { upstream: upstream.watcher(), token: token.watcher() };
    let config = match Config::from_env(vars) {
        Ok(config) => config,
        Err(errors) => {
            ladder.fail(&unusable(&errors));
            return End::BadConfiguration;
        }
    };
    let (connector, identity) = match serve::upstream(&config, &deadlines, &watchers) {
        Ok(both) => both,
        Err(problem) => {
            let mut rung = Rung::new(RUNGS[0]);
            rung.fail(problem, Some("Correct the file that is named.".to_string()));
            ladder.fail(&rung);
            return End::BadConfiguration;
        }
    };
    ladder.tell(&configuration(&config, other_proxy, send_to));
    if let Some(rung) = fleet::fleet(&config, &deadlines).await
        && !ladder.tell_besides(&rung)
    {
        return End::Fails;
    }
    let climber = Climber { config, connector, identity, upstream, token, other_proxy, names, deadlines };
    match climber.climb(&mut ladder, send_to).await {
        Ok(()) => End::Holds,
        Err(Fallen) => End::Fails,
    }
}

/// The rungs of the ladder with these variables.
fn rungs_of(vars: &[(OsString, OsString)], sends: bool) -> Vec<&'static str> {
    let has_spool = vars.iter().any(|(name, value)| name == "MAILSHIM_SPOOL_DIR" && !value.is_empty());
    let is_there = |name: &&str| match *name {
        "spool" => has_spool,
        "send" => sends,
        _ => true,
    };
    RUNGS.into_iter().filter(is_there).collect()
}

/// A variable that other programs take for the proxy, if one is set. Its value may hold a password.
fn other_proxy(vars: &[(OsString, OsString)]) -> Option<&'static str> {
    let set: BTreeSet<_> =
        vars.iter().filter(|(_, value)| !value.is_empty()).filter_map(|(name, _)| name.to_str()).collect();
    ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"].into_iter().find(|name| set.contains(name))
}

/// Where the story has come to.
struct Ladder<F> {
    tell: F,
    /// The place in [`RUNGS`] of the next one.
    told: usize,
    /// Those that there are.
    rungs: Vec<&'static str>,
}

/// A rung did not hold, and all has been told.
struct Fallen;

impl<F: FnMut(&Rung)> Ladder<F> {
    fn tell(&mut self, rung: &Rung) {
        debug_assert_eq!(RUNGS.get(self.told), Some(&rung.name), "the rungs are told in their order");
        (self.tell)(rung);
        self.told += 1;
        while RUNGS.get(self.told).is_some_and(|next| !self.rungs.contains(next)) {
            self.told += 1;
        }
    }

    /// Tells a rung that not every ladder has; whether it holds. If not, those above it were not come to.
    fn tell_besides(&mut self, rung: &Rung) -> bool {
        let holds = rung.state == State::Passed;
        (self.tell)(rung);
        if !holds {
            self.rest_not_tried();
        }
        holds
    }

    fn rest_not_tried(&mut self) {
        while self.told < RUNGS.len() {
            self.tell(&Rung::without(RUNGS[self.told], State::NotTried, "not tried"));
        }
    }

    /// Tells the one that does not hold, and those that were not come to.
    fn fail(&mut self, rung: &Rung) -> Fallen {
        self.tell(rung);
        self.rest_not_tried();
        Fallen
    }
}

fn configuration(config: &Config, other_proxy: Option<&str>, send_to: Option<&Address>) -> Rung {
    let mut rung = Rung::new(RUNGS[0]);
    let (mailbox, sign_in) = (config.identity.mailbox.to_string(), config.identity.sign_in.name());
    rung.see(format!("mailbox {mailbox}, sign-in {sign_in}, upstream {}", config.upstream));
    for (name, value) in [("mailbox", mailbox.as_str()), ("sign_in", sign_in)] {
        rung.fact(name, value);
    }
    rung.fact("upstream", config.upstream.to_string());
    if config.alerts.is_some() {
        rung.see("alerts go to the address of MAILSHIM_ALERT_URL: none is sent by this command".to_string());
    }
    rung.warnings.clone_from(&config.warnings);
    if config.upstream.host.parse::<IpAddr>().is_ok() {
        rung.warnings.push(format!(
            "MAILSHIM_UPSTREAM is an address: Office 365's change by the minute, and its certificate names none; use {}",
            config.cloud.upstream
        ));
    }
    if let (Some(variable), None) = (other_proxy, &config.egress_proxy) {
        rung.warnings.push(format!(
            "{variable} is set, and mailshim does not use it: where there is no other way out, set MAILSHIM_EGRESS_PROXY"
        ));
    }
    if let (Some(wanted), Some(instead)) = (send_to, &config.policy.redirect_to) {
        rung.warnings.push(format!("MAILSHIM_REDIRECT_TO: the test mail for {wanted} goes to {instead}"));
    }
    rung
}

/// How often it is looked whether a rung has ended.
const GLANCE: Duration = Duration::from_millis(100);
/// The rungs from the name to TLS.
const WAY: Range<usize> = 2..6;

struct Climber {
    config: Config,
    connector: Connector,
    identity: Arc<Identity>,
    upstream: Arc<Notes>,
    token: Arc<Notes>,
    other_proxy: Option<&'static str>,
    names: Vec<(&'static str, String)>,
    deadlines: Arc<Deadlines>,
}

impl Climber {
    fn known(&self, claims: Option<Claims>) -> Known<'_> {
        Known {
            config: &self.config,
            upstream: self.upstream.so_far(),
            token: self.token.so_far(),
            claims,
            other_proxy: self.other_proxy,
            names: &self.names,
            speaks_tls: false,
        }
    }

    async fn climb<F: FnMut(&Rung)>(
        &self,
        ladder: &mut Ladder<F>,
        send_to: Option<&Address>,
    ) -> Result<(), Fallen> {
        self.examine_spool(ladder)?;
        self.reach(ladder).await?;
        let claims = self.obtain_token(ladder).await?;
        let mut connection = self.sign_in(ladder, claims.as_ref()).await?;
        let mut mail = match test_mail(&self.config, send_to).await {
            Ok(mail) => mail,
            Err(problem) => {
                let mut rung = Rung::new(RUNGS[8]);
                rung.fail(problem, Some("Name another recipient, or change that variable.".to_string()));
                return Err(ladder.fail(&rung));
            }
        };
        self.try_envelope(ladder, &mut connection, &mail.envelope, claims.as_ref()).await?;
        if send_to.is_some() {
            self.send(ladder, &mut connection, &mut mail, claims.as_ref()).await?;
        }
        connection.quit().await;
        Ok(())
    }

    /// Where mail would wait, if it does. Nobody else waits while the disk is tried.
    fn examine_spool<F: FnMut(&Rung)>(&self, ladder: &mut Ladder<F>) -> Result<(), Fallen> {
        let Some(options) = &self.config.spool else { return Ok(()) };
        let rung = spool::spool(options, &crate::spool::examine(options));
        if rung.state == State::Failed {
            return Err(ladder.fail(&rung));
        }
        ladder.tell(&rung);
        Ok(())
    }

    /// As far as the server goes with anybody: name, TCP, EHLO, STARTTLS.
    async fn reach<F: FnMut(&Rung)>(&self, ladder: &mut Ladder<F>) -> Result<(), Fallen> {
        let mut opening = pin!(self.connector.open_unsigned());
        let opened = loop {
            // What is behind us is told while the next is waited for.
            tokio::select! {
                opened = &mut opening => break opened,
                () = sleep(GLANCE) => {
                    let noted = self.upstream.so_far();
                    self.tell_way(ladder, way::rungs_passed(&self.config, &noted), &noted);
                }
            }
        };
        let fault = match opened {
            Ok(connection) => {
                connection.quit().await;
                let noted = self.upstream.so_far();
                self.tell_way(ladder, WAY.end, &noted);
                return Ok(());
            }
            Err(fault) => fault,
        };
        let mut known = self.known(None);
        // What was told as passed stays so.
        let failed_at = rung_of(fault.stage(), known.upstream.secured).max(ladder.told);
        self.tell_way(ladder, failed_at, &known.upstream);
        if advice::may_be_tls(&fault) {
            known.speaks_tls = advice::answers_tls(&self.connector, self.deadlines.tls).await;
        }
        let mut rung = self.way(failed_at, &known.upstream);
        rung.advise(advise(&fault, &known));
        Err(ladder.fail(&rung))
    }

    /// Tells the rungs of the way there up to `end`, and none twice.
    fn tell_way<F: FnMut(&Rung)>(&self, ladder: &mut Ladder<F>, end: usize, noted: &Noted) {
        for index in ladder.told..end {
            ladder.tell(&self.way(index, noted));
        }
    }

    /// A rung of the way there.
    fn way(&self, index: usize, noted: &Noted) -> Rung {
        match index {
            2 => dns(&self.config, noted),
            3 => tcp(&self.config, noted),
            4 => ehlo(noted),
            _ => starttls(noted),
        }
    }

    async fn obtain_token<F: FnMut(&Rung)>(&self, ladder: &mut Ladder<F>) -> Result<Option<Claims>, Fallen> {
        let name = RUNGS[6];
        if let SignIn::Password(_) | SignIn::None = self.config.identity.sign_in {
            let why = format!("{NEEDS_NOTHING}: sign-in {}", self.config.identity.sign_in.name());
            ladder.tell(&Rung::without(name, State::Skipped, &why));
            return Ok(None);
        }
        let mut rung = Rung::new(name);
        let from = whom_to_ask(&self.config);
        rung.see(format!("from {from}"));
        rung.fact("from", from);
        match self.identity.credential().await {
            Ok(Credential::Xoauth2 { token, .. }) => {
                let claims = Claims::of(&token);
                match &claims {
                    Some(claims) => claims.tell(&self.config, &mut rung),
                    None => rung.see("a token that says nothing of itself (opaque)"),
                }
                rung.warnings.extend(self.token.so_far().clock_is_wrong());
                ladder.tell(&rung);
                Ok(claims)
            }
            // The configuration has said that it is a token; nothing else can come.
            Ok(_) => {
                ladder.tell(&rung);
                Ok(None)
            }
            Err(fault) => {
                let known = self.known(None);
                // Where TLS to it failed: who answered in its place.
                if !known.token.secured {
                    known.token.chain_in_words().for_each(|words| rung.see(words));
                    rung.fact("chain", known.token.chain_for_programs());
                }
                rung.advise(advise(&fault, &known));
                Err(ladder.fail(&rung))
            }
        }
    }

    async fn sign_in<F: FnMut(&Rung)>(
        &self,
        ladder: &mut Ladder<F>,
        claims: Option<&Claims>,
    ) -> Result<Connection, Fallen> {
        let mut rung = Rung::new(RUNGS[7]);
        rung.see(advice::sign_in(&self.config));
        match delivery::open(&self.connector, &self.identity).await {
            Ok(connection) => {
                if let Some(reply) = self.upstream.so_far().reply(Stage::Auth) {
                    rung.see(reply.to_string());
                }
                if self.config.identity.sign_in == SignIn::None {
                    rung.state = State::Skipped;
                }
                ladder.tell(&rung);
                Ok(connection)
            }
            Err(fault) => {
                rung.advise(advise(&fault, &self.known(claims.cloned())));
                Err(ladder.fail(&rung))
            }
        }
    }

    async fn try_envelope<F: FnMut(&Rung)>(
        &self,
        ladder: &mut Ladder<F>,
        connection: &mut Connection,
        envelope: &Envelope,
        claims: Option<&Claims>,
    ) -> Result<(), Fallen> {
        let mut rung = Rung::new(RUNGS[8]);
        let recipients: Vec<_> =
            envelope.recipients.iter().map(|recipient| recipient.address.to_string()).collect();
        let sender = envelope.mail.reverse_path.as_ref().map_or("", Address::as_str);
        rung.see(format!(
            "MAIL FROM:<{sender}>, RCPT TO:<{}>, RSET: no mail is sent",
            recipients.join(">, RCPT TO:<")
        ));
        rung.fact("from", sender);
        rung.fact("to", recipients);
        match connection.try_envelope(envelope).await {
            Ok(replies) => {
                rung.see(replies.iter().map(Reply::to_string).collect::<Vec<_>>().join(", "));
                // Exchange judges the sender only when it has the mail.
                let identity = &self.config.identity;
                if identity.sign_in != SignIn::None
                    && self.config.policy.login_as_sender.is_none()
                    && !identity.mailbox.to_string().eq_ignore_ascii_case(sender)
                {
                    rung.see(format!(
                        "whether {} may send as {sender} shows only when a mail is sent: --send",
                        identity.mailbox
                    ));
                }
                ladder.tell(&rung);
                Ok(())
            }
            Err(fault) => {
                rung.advise(advise(&fault, &self.known(claims.cloned())));
                Err(ladder.fail(&rung))
            }
        }
    }

    async fn send<F: FnMut(&Rung)>(
        &self,
        ladder: &mut Ladder<F>,
        connection: &mut Connection,
        mail: &mut TestMail,
        claims: Option<&Claims>,
    ) -> Result<(), Fallen> {
        let mut rung = Rung::new(RUNGS[9]);
        let fault = match connection.send(&mail.envelope, &mut mail.content).await {
            Ok(Outcome::Accepted(reply) | Outcome::Queued(reply)) => {
                rung.see(format!("Office 365 has the test mail: {reply}"));
                rung.fact("reply", reply.to_string());
                ladder.tell(&rung);
                return Ok(());
            }
            Ok(Outcome::Failed(fault)) => fault,
            Ok(Outcome::Unknown(fault)) => {
                rung.warnings.push("Office 365 may have the test mail all the same".to_string());
                fault
            }
            // It is in memory: no app can go away.
            Err(_) => Fault::new(Stage::Content, Cause::AppTooSlow),
        };
        rung.advise(advise(&fault, &self.known(claims.cloned())));
        Err(ladder.fail(&rung))
    }
}

/// The rung that a stage belongs to, before the sign-in.
const fn rung_of(stage: Stage, is_secured: bool) -> usize {
    match stage {
        Stage::Resolve => 2,
        Stage::Connect => 3,
        Stage::Greeting => 4,
        Stage::Ehlo if !is_secured => 4,
        _ => 5,
    }
}

/// Who gives the token.
fn whom_to_ask(config: &Config) -> String {
    match (&config.identity.sign_in, token::application(config)) {
        (SignIn::Token(TokenSource::Managed(identity)), _) => match &identity.endpoint {
            ManagedEndpoint::AppService { url, .. } => format!("App Service's endpoint {url}"),
            ManagedEndpoint::Imds(url) => format!("IMDS at {url}"),
        },
        (_, Some(application)) => format!("{} for tenant {}", application.authority, application.tenant),
        _ => String::new(),
    }
}
