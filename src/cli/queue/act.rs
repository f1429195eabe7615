//! `retry`, `drop` and `flush`: done by the shim that has the spool, or here where none has.

use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use tokio::runtime::Runtime;

use super::confirm::confirmed;
use super::look::{Failed, each, is_person, width};
use super::select::Selection;
use super::table::{folded, mails};
use super::view::View;
use crate::cli::exit::USAGE;
use crate::config;
use crate::durable::System;
use crate::message::policy::Policy;
use crate::queue::request::{Action, Answer, Answers, MOST_NAMED, Request};
use crate::redact::without_error_numbers;
use crate::spool::{Browser, Requests, SpoolOptions, Store};

/// How long a shim has to take a request and do it. A thousand large mails take their time.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether it has.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How often it is looked whether the one who had the spool has gone.
const TRY_AGAIN: Duration = Duration::from_millis(500);
/// Messages that the question before a drop names.
const MOST_ASKED: usize = 10;
/// Messages of which it is said why nothing was done with them.
const MOST_TOLD: usize = 20;
/// Recipients that are named of a message that was dropped.
const MOST_RECIPIENTS: usize = 20;

/// What the command line asks for.
pub(super) struct Wish {
    action: Action,
    selection: Selection,
    is_confirmed: bool,
}

impl Wish {
    /// What it says.
    ///
    /// # Errors
    /// Nothing says which messages are meant.
    pub fn of(action: &str, given: &ArgMatches) -> Result<Self, &'static str> {
        if action == "flush" {
            return Ok(Self { action: Action::Flush, selection: Selection::default(), is_confirmed: true });
        }
        let selection = Selection::of(given);
        if !given.get_flag("all") && !selection.is_narrow() {
            return Err("say which: an ID, a filter such as --from, or --all");
        }
        let (action, is_confirmed) = match action {
            "drop" => (Action::Drop, given.get_flag("yes")),
            _ if given.get_flag("prepare") => (Action::Prepare, true),
            _ => (Action::Retry, true),
        };
        Ok(Self { action, selection, is_confirmed })
    }

    /// Whether a message is meant that was not named: nothing brings back what is damaged.
    fn means(&self, view: &View) -> bool {
        self.action == Action::Drop || self.selection.is_named(view) || view.state != "damaged"
    }
}

/// What has come of it so far.
#[derive(Default)]
struct Tally {
    done: usize,
    problems: usize,
}

impl Tally {
    fn problem(&mut self, id: u64, words: &str) {
        self.problems += 1;
        if self.problems <= MOST_TOLD {
            eprintln!("{id:x}: {words}");
        }
    }

    fn end(&self) -> Result<(), Failed> {
        if self.problems > MOST_TOLD {
            eprintln!("… and {} more", self.problems - MOST_TOLD);
        }
        if self.problems == 0 { Ok(()) } else { Err(Failed::told()) }
    }
}

pub(super) fn act(wish: &Wish, directory: &Path, spool: Option<&Browser>) -> Result<(), Failed> {
    let mut tally = Tally::default();
    let Some(spool) = spool else {
        for id in &wish.selection.ids {
            tally.problem(*id, UNKNOWN);
        }
        say("no mail\n");
        return tally.end();
    };
    if !wish.is_confirmed && !may_drop(wish, spool)? {
        return Err(Failed::told());
    }
    let mut hand = Hand::of(directory, wish.action)?;
    if wish.action == Action::Flush {
        let request = Request { action: Action::Flush, ids: Vec::new() };
        let answers = hand.carry_out(&request)?;
        let count = answers.first().map_or(0, |(count, _)| *count);
        say(&format!(
            "{} that waited: tried now{}\n",
            mails(usize::try_from(count).unwrap_or(usize::MAX)),
            hand.until()
        ));
        return Ok(());
    }
    let mut gathered: Vec<View> = Vec::new();
    let mut failed = None;
    let missing = each(spool, &wish.selection, &mut |_, view| {
        if !wish.means(&view) {
            return ControlFlow::Continue(());
        }
        gathered.push(view);
        if gathered.len() < MOST_NAMED {
            return ControlFlow::Continue(());
        }
        match hand.all(wish, &std::mem::take(&mut gathered), &mut tally) {
            Ok(()) => ControlFlow::Continue(()),
            Err(problem) => {
                failed = Some(problem);
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(problem) = failed {
        return Err(problem);
    }
    if !gathered.is_empty() {
        hand.all(wish, &gathered, &mut tally)?;
    }
    missing.into_iter().for_each(|id| tally.problem(id, UNKNOWN));
    if tally.done == 0 && tally.problems > 0 {
        return tally.end();
    }
    let done = mails(tally.done);
    say(&match wish.action {
        Action::Drop => format!("{done} dropped\n"),
        Action::Prepare => format!("{done} made ready by today's policy, and tried now{}\n", hand.until()),
        Action::Retry | Action::Flush => format!("{done}: tried now{}\n", hand.until()),
    });
    tally.end()
}

const UNKNOWN: &str = "there is no mail of this name (mailshim queue list shows all)";

fn say(text: &str) {
    // Nobody is left to tell if they do not take it.
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Whether the operator wants to drop these.
fn may_drop(wish: &Wish, spool: &Browser) -> Result<bool, Failed> {
    if !is_person() {
        return Err(Failed {
            code: USAGE,
            words: "nobody is there to be asked: --yes says that the mail is to be removed for good".into(),
        });
    }
    let mut count = 0;
    each(spool, &wish.selection, &mut |_, view| {
        if wish.means(&view) {
            count += 1;
            if count <= MOST_ASKED {
                eprint!("{}", described(&view));
            }
        }
        ControlFlow::Continue(())
    })?;
    if count > MOST_ASKED {
        eprintln!("… and {} more", count - MOST_ASKED);
    }
    Ok(count == 0 || confirmed(&format!("Drop {} for good?", mails(count))))
}

/// A message in a few lines: its name, its Message-ID, from whom and to whom.
fn described(view: &View) -> String {
    let none = "<>".to_string();
    let mut to: Vec<&str> =
        view.recipients.iter().take(MOST_RECIPIENTS).map(|recipient| recipient.address.as_str()).collect();
    let more = format!("and {} more", view.recipients.len().saturating_sub(MOST_RECIPIENTS));
    if view.recipients.len() > MOST_RECIPIENTS {
        to.push(&more);
    }
    let line = format!(
        "{:x} {} from {} to {}",
        view.id,
        view.message_id.as_deref().unwrap_or("(no Message-ID)"),
        view.from.as_ref().unwrap_or(&none),
        to.join(" ")
    );
    let text = folded(&line, "  ", width().unwrap_or(usize::MAX));
    text.trim_start().to_string()
}

/// Who does it.
enum Hand {
    /// The shim that has the spool.
    Shim { requests: Requests, store: Store, runtime: Runtime },
    /// Nobody has it: we do.
    Own { store: Store, runtime: Runtime, policy: Option<Arc<Policy>> },
    /// For a moment, between two of them.
    Nobody,
}

impl Hand {
    fn of(directory: &Path, action: Action) -> Result<Self, Failed> {
        let trouble = |error: io::Error| {
            Failed::from(format!("the spool cannot be used: {}", without_error_numbers(&error.to_string())))
        };
        let options = SpoolOptions {
            directory: directory.to_path_buf(),
            max_bytes: u64::MAX / 2,
            lifetime: Duration::MAX,
        };
        let store = Store::in_place(&options, Arc::new(System));
        store.make_directories().map_err(trouble)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .max_blocking_threads(1)
            .build()
            .map_err(trouble)?;
        if store.try_lock().map_err(trouble)? {
            let policy = policy(action)?;
            runtime.block_on(store.read_directory()).map_err(trouble)?;
            return Ok(Self::Own { store, runtime, policy });
        }
        Ok(Self::Shim { requests: Requests::of(directory), store, runtime })
    }

    /// When it goes, where nobody sends now.
    const fn until(&self) -> &'static str {
        match self {
            Self::Own { .. } => " as soon as a mailshim runs here",
            Self::Shim { .. } | Self::Nobody => "",
        }
    }

    fn all(&mut self, wish: &Wish, views: &[View], tally: &mut Tally) -> Result<(), Failed> {
        let action = wish.action;
        let request = Request { action, ids: views.iter().map(|view| view.id).collect() };
        for ((id, answer), view) in self.carry_out(&request)?.iter().zip(views) {
            match answer {
                Answer::Done => {
                    tally.done += 1;
                    if action == Action::Drop {
                        say(&format!("dropped {}", described(view)));
                    }
                }
                Answer::UnderWay => {
                    tally.problem(*id, "it is being delivered in this moment: try again when that has ended");
                }
                // It has left between the look and the deed: delivered, mostly. That is a fault only to who named it.
                Answer::Unknown if !wish.selection.ids.contains(id) => {}
                Answer::Unknown => tally.problem(*id, "it is not there any more"),
                Answer::Failed(words) => tally.problem(*id, words),
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, request: &Request) -> Result<Answers, Failed> {
        match self {
            Self::Own { store, runtime, policy } => {
                Ok(runtime.block_on(store.operate(request, policy.as_ref())))
            }
            Self::Shim { .. } => self.ask(request),
            Self::Nobody => Err(Failed::told()),
        }
    }

    fn ask(&mut self, request: &Request) -> Result<Answers, Failed> {
        let Self::Shim { requests, store, .. } = self else { return Err(Failed::told()) };
        let asked = requests.ask(request).map_err(|error| {
            format!("the shim cannot be asked: {}", without_error_numbers(&error.to_string()))
        })?;
        let begun = Instant::now();
        let mut tried = begun;
        while begun.elapsed() < PATIENCE {
            if let Some(answers) = asked.answers() {
                return Ok(answers);
            }
            std::thread::sleep(LOOK_AGAIN);
            if tried.elapsed() < TRY_AGAIN {
                continue;
            }
            tried = Instant::now();
            // Whoever had it may have ended without looking.
            if store.try_lock().unwrap_or(false) {
                // What it had begun may be half done, and is no worse for being done again.
                asked.take_back();
                self.take_over(request.action)?;
                return self.carry_out(request);
            }
        }
        let words = if asked.take_back() {
            "the mailshim that has the spool has not taken the request; it may be ending, or hang on its disk"
        } else {
            "the mailshim that has the spool took the request and has not answered: mailshim queue list shows what was done"
        };
        Err(words.to_string().into())
    }

    fn take_over(&mut self, action: Action) -> Result<(), Failed> {
        let Self::Shim { store, runtime, .. } = std::mem::replace(self, Self::Nobody) else { return Ok(()) };
        let policy = policy(action)?;
        runtime.block_on(store.read_directory()).map_err(|error| {
            format!("the spool cannot be read: {}", without_error_numbers(&error.to_string()))
        })?;
        *self = Self::Own { store, runtime, policy };
        Ok(())
    }
}

/// Today's sender policy: where no shim runs, the one of this process's environment. Read only where it is applied.
fn policy(action: Action) -> Result<Option<Arc<Policy>>, Failed> {
    if action != Action::Prepare {
        return Ok(None);
    }
    config::sender_policy(std::env::vars_os())
        .map(|policy| Some(Arc::new(policy)))
        .map_err(|errors| Failed { code: USAGE, words: errors.to_string() })
}
