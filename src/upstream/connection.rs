//! A connection to Office 365: the octets and the deadlines around the pure
//! [`transaction`](super::transaction).

use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::link::{Link, MAX_CHUNK};
use super::speed::Pace;
use crate::credential::Credential;
use crate::message::{Abandoned, Envelope, HeldContent, Piece};
use crate::outcome::{Cause, Fault, Outcome, RecipientOutcome, Stage};
use crate::smtp::data::DotStuffer;
use crate::smtp::extension::Extensions;
use crate::smtp::reply::Reply;
use crate::telemetry;
use crate::term::{self, Term};
use crate::upstream::transaction::{
    After, Framing, Plan, Recipients, Step, Transaction, Verdict, envelope_lines,
};

/// Messages over one connection: what Exchange's own connectors allow.
const MAX_MESSAGES: u32 = 20;
/// Chunks of streamed content whose replies have not come yet, where PIPELINING is offered (RFC 3030 section 4.2).
const MAX_CHUNKS_AHEAD: u32 = 4;

/// Why content was not written to its end.
enum Stopped {
    /// The connection, or the app's slowness.
    Fault(Fault),
    /// Office 365 has refused it meanwhile.
    Refused,
    /// The app went away.
    Abandoned(Abandoned),
}

impl From<Fault> for Stopped {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A signed-in connection.
pub struct Connection {
    link: Link,
    extensions: Extensions,
    credential: Credential,
    opened: Instant,
    messages: u32,
    usable: bool,
    /// The end of the content waits to be written.
    end_gathered: bool,
    /// The end of the content has been written: from here on, silence means that nobody knows.
    committed: bool,
}

impl Connection {
    pub(super) fn new(mut link: Link, extensions: Extensions, credential: Credential) -> Self {
        link.signed_in();
        let opened = Instant::now();
        Self {
            link,
            extensions,
            credential: credential.spent(),
            opened,
            messages: 0,
            usable: true,
            end_gathered: false,
            committed: false,
        }
    }

    /// What it is signed in with.
    pub const fn credential(&self) -> &Credential {
        &self.credential
    }

    /// When it may no longer be used: its age, or its token's end.
    fn ends(&self) -> Instant {
        let age = self.opened + self.link.deadlines.age;
        match &self.credential {
            Credential::Xoauth2 { good_until, .. } => age.min(*good_until),
            Credential::Login { .. } | Credential::Nobody => age,
        }
    }

    /// It has not carried a message yet: its sign-in is news.
    pub const fn is_new(&self) -> bool {
        self.messages == 0
    }

    /// Binds it to the time that this replica may use it.
    pub fn bind(&mut self, term: Option<Arc<Term>>) {
        self.link.term = term;
    }

    /// The time that this replica may use it, in a fleet.
    pub const fn term(&self) -> Option<&Arc<Term>> {
        self.link.term.as_ref()
    }

    /// It takes no more messages.
    pub const fn retire(&mut self) {
        self.messages = MAX_MESSAGES;
    }

    /// Whether it takes another message.
    pub fn is_reusable(&self) -> bool {
        self.usable
            && self.messages < MAX_MESSAGES
            && Instant::now() < self.ends()
            && self.link.is_in_step()
            && !self.term().is_some_and(|term| term.is_over() || term.is_recalled())
    }

    /// How long it may stay idle.
    pub fn idle_until(&self) -> Instant {
        self.ends().min(Instant::now() + self.link.deadlines.idle)
    }

    /// Ends when the idle connection is no longer good: EOF, close_notify, or any octet that nobody asked for.
    pub async fn spoiled(&mut self) {
        let mut octet = [0; 1];
        tokio::select! {
            _ = self.link.wire.read(&mut octet) => {}
            () = term::over(self.link.term.as_deref()) => {}
        }
        self.usable = false;
    }

    /// Ends when the others of the fleet wait for its place; never without a fleet.
    pub fn wanted(&self) -> impl Future<Output = ()> + use<> {
        let wanted = self.term().map(|term| term.when_wanted());
        async move {
            match wanted {
                Some(wanted) => wanted.await,
                None => std::future::pending().await,
            }
        }
    }

    /// Says goodbye.
    pub async fn quit(mut self) {
        let within = self.link.deadlines.quit;
        self.link.command(b"QUIT\r\n");
        if self.usable && self.link.flush(Stage::Wait).await.is_ok() {
            let _ = self.link.read_reply(Stage::Wait, within).await;
        }
        let _ = timeout(within, self.link.wire.shutdown()).await;
    }

    /// Takes one message over this connection, to all of its recipients or to none.
    ///
    /// # Errors
    /// The app went away before its content was whole: nothing was sent.
    pub async fn send(
        &mut self,
        envelope: &Envelope,
        content: &mut HeldContent<'_>,
    ) -> Result<Outcome, Abandoned> {
        let plan = self.plan(envelope, content, Recipients::AllOrNothing);
        match Transaction::new(envelope, &self.extensions, plan) {
            Ok(mut transaction) => self.run(&mut transaction, content).await,
            Err(fault) => Ok(Outcome::Failed(fault)),
        }
    }

    /// Takes one message over this connection, to those of its recipients whom the server takes: what became of each, in
    /// the envelope's order.
    ///
    /// # Errors
    /// The content will not become whole: nothing was sent.
    pub async fn send_to_each(
        &mut self,
        envelope: &Envelope,
        content: &mut HeldContent<'_>,
    ) -> Result<Vec<RecipientOutcome>, Abandoned> {
        let plan = self.plan(envelope, content, Recipients::EachForItself);
        match Transaction::new(envelope, &self.extensions, plan) {
            Ok(mut transaction) => {
                let outcome = self.run(&mut transaction, content).await?;
                Ok(transaction.each(&outcome))
            }
            Err(fault) => {
                let each = RecipientOutcome::Settled(Outcome::Failed(fault));
                Ok(vec![each; envelope.recipients.len()])
            }
        }
    }

    fn plan(&self, envelope: &Envelope, content: &HeldContent<'_>, recipients: Recipients) -> Plan {
        let whole = content.is_complete().then(|| content.octets());
        let eight_bit =
            envelope.is_eight_bit() || whole.is_none() || content.kept().any(|chunk| !chunk.is_ascii());
        let fresh = self.link.last_reply.elapsed() < self.link.deadlines.fresh;
        Plan { recipients, whole, eight_bit, fresh }
    }

    async fn run(
        &mut self,
        transaction: &mut Transaction<'_>,
        content: &mut HeldContent<'_>,
    ) -> Result<Outcome, Abandoned> {
        // Until the dialogue has come to its end the connection is not to be used again, should this future be dropped.
        self.usable = false;
        (self.end_gathered, self.committed, self.link.may_be_refused_early) = (false, false, false);
        self.messages += 1;
        loop {
            match transaction.step() {
                Step::Write(line) => self.link.line(&line),
                Step::Read(stage) => match self.exchange(stage).await {
                    Ok(reply) => transaction.reply(&reply),
                    Err(fault) => return Ok(self.broken(transaction, fault)),
                },
                Step::Content(framing) => match self.content(framing, content, transaction).await {
                    Ok(()) => {}
                    Err(Stopped::Refused) => transaction.content_cut(),
                    Err(Stopped::Fault(fault)) => return Ok(self.broken(transaction, fault)),
                    Err(Stopped::Abandoned(why)) => {
                        self.abort(framing, transaction).await;
                        return Err(why);
                    }
                },
                Step::Done(verdict, after) => {
                    let (verdict, after) = self.nothing_more(verdict, after).await;
                    self.usable = match after {
                        After::Keep => true,
                        After::Reset => self.reset().await,
                        After::Close => false,
                    };
                    return Ok(match verdict {
                        Verdict::Accepted(reply) => Outcome::Accepted(reply),
                        Verdict::Refused(fault) => Outcome::Failed(fault),
                        Verdict::Contradiction(fault) => Outcome::Unknown(fault),
                    });
                }
            }
        }
    }

    /// Whether the verdict is the last that came: with more behind it, it may be the answer to something else.
    async fn nothing_more(&mut self, verdict: Verdict, after: After) -> (Verdict, After) {
        match self.link.unasked().await {
            None => (verdict, after),
            Some(cause @ (Cause::Refused(_) | Cause::BrokenReply(_))) => {
                (verdict.with_unasked(cause, self.committed), After::Close)
            }
            Some(_closed) => (verdict, After::Close),
        }
    }

    /// Writes what has been gathered. A failure means that its last octets have not left: the end of the content, if
    /// it is among them, has not arrived.
    async fn flush(&mut self, stage: Stage) -> Result<(), Fault> {
        // The end of the content leaves with the first read of the verdict: if it does not, nothing can double.
        let stage = if stage == Stage::Verdict { Stage::Content } else { stage };
        self.link.in_step(stage).await?;
        if let Err(fault) = self.link.write(stage).await {
            return Err(self.link.last_words(stage, fault).await);
        }
        self.committed = self.end_gathered;
        Ok(())
    }

    /// Writes a part of the content that is not its end, nor the end of a chunk.
    async fn flush_part(&mut self) -> Result<(), Fault> {
        self.flush(Stage::Content).await?;
        self.link.may_be_refused_early = true;
        Ok(())
    }

    async fn exchange(&mut self, stage: Stage) -> Result<Reply, Fault> {
        self.flush(stage).await?;
        self.link.reply(stage).await
    }

    /// The outcome where the connection is of no more use.
    fn broken(&self, transaction: &mut Transaction<'_>, fault: Fault) -> Outcome {
        if let Some(outcome) = transaction.parted(&fault) {
            return outcome;
        }
        match transaction.refusal() {
            // With a refusal nothing can have been accepted.
            Some(refusal) if refusal.is_certain() => Outcome::Failed(refusal),
            Some(nonsense) if self.committed => Outcome::Unknown(nonsense),
            None if self.committed => Outcome::Unknown(fault),
            refusal => Outcome::Failed(refusal.unwrap_or(fault)),
        }
    }

    /// Writes the content in the framing that was agreed on. The end of it is only gathered: it leaves with the next
    /// read.
    async fn content(
        &mut self,
        framing: Framing,
        content: &mut HeldContent<'_>,
        transaction: &mut Transaction<'_>,
    ) -> Result<(), Stopped> {
        if content.is_complete() {
            content.stays().await.map_err(Stopped::Abandoned)?;
            self.whole_content(framing, content).await?;
        } else {
            let mut pace = Pace::new(&self.link.deadlines);
            match framing {
                Framing::Bdat => self.streamed_chunks(content, &mut pace, transaction).await?,
                Framing::Data => self.streamed_data(content, &mut pace).await?,
            }
        }
        self.link.command(b"");
        self.end_gathered = true;
        Ok(())
    }

    /// Content that is all in memory: one chunk, or one run of stuffed lines.
    async fn whole_content(
        &mut self,
        framing: Framing,
        content: &mut HeldContent<'_>,
    ) -> Result<(), Stopped> {
        if framing == Framing::Bdat {
            self.link.out.extend_from_slice(format!("BDAT {} LAST\r\n", content.octets()).as_bytes());
        }
        let mut stuffer = DotStuffer::new();
        while let Piece::Chunk(chunk) = content.next().await {
            match framing {
                Framing::Bdat => self.link.out.extend_from_slice(&chunk),
                Framing::Data => stuffer.stuff(&chunk, &mut self.link.out),
            }
            // Content that goes out in one flight with its envelope is smaller than this.
            if self.link.out.len() > 2 * MAX_CHUNK {
                self.flush_part().await?;
            }
        }
        if framing == Framing::Data {
            stuffer.end(&mut self.link.out);
        }
        telemetry::wire('C', &format_args!("({} octets of content)", content.octets()));
        Ok(())
    }

    async fn streamed_data(&mut self, content: &mut HeldContent<'_>, pace: &mut Pace) -> Result<(), Stopped> {
        let mut stuffer = DotStuffer::new();
        loop {
            match pace.next(content).await? {
                Piece::Chunk(chunk) => stuffer.stuff(&chunk, &mut self.link.out),
                Piece::End => break,
                Piece::Abandoned(why) => return Err(Stopped::Abandoned(why)),
            }
            if self.link.out.len() >= MAX_CHUNK {
                self.flush_part().await?;
            }
        }
        stuffer.end(&mut self.link.out);
        Ok(())
    }

    /// A chunk leaves when the next one has begun: the last one only after the app has ended its content.
    async fn streamed_chunks(
        &mut self,
        content: &mut HeldContent<'_>,
        pace: &mut Pace,
        transaction: &mut Transaction<'_>,
    ) -> Result<(), Stopped> {
        let ahead = if self.extensions.pipelining { MAX_CHUNKS_AHEAD } else { 1 };
        let (mut pieces, mut octets, mut owed) = (Vec::new(), 0, 0);
        loop {
            match pace.next(content).await? {
                Piece::Chunk(piece) => {
                    if octets + piece.len() > MAX_CHUNK {
                        self.gather_chunk(&mut pieces, octets, "");
                        self.link.command(b"");
                        self.flush(Stage::Content).await?;
                        transaction.chunk_written();
                        (octets, owed) = (0, owed + 1);
                    }
                    octets += piece.len();
                    pieces.push(piece);
                }
                Piece::End => {
                    // LAST leaves only when no reply is owed: one too many would be taken for the verdict.
                    self.chunk_replies(owed, transaction).await?;
                    self.gather_chunk(&mut pieces, octets, " LAST");
                    return Ok(());
                }
                Piece::Abandoned(why) => return Err(Stopped::Abandoned(why)),
            }
            if owed >= ahead {
                self.chunk_replies(1, transaction).await?;
                owed -= 1;
            }
        }
    }

    /// Reads the replies to so many chunks, as far as nothing is refused.
    async fn chunk_replies(&mut self, chunks: u32, transaction: &mut Transaction<'_>) -> Result<(), Stopped> {
        for _ in 0..chunks {
            let reply = self.exchange(Stage::Content).await?;
            transaction.reply(&reply);
            if transaction.is_refused() {
                return Err(Stopped::Refused);
            }
        }
        Ok(())
    }

    fn gather_chunk(&mut self, pieces: &mut Vec<Bytes>, octets: usize, last: &str) {
        telemetry::wire('C', &format_args!("BDAT {octets}{last}"));
        self.link.out.extend_from_slice(format!("BDAT {octets}{last}\r\n").as_bytes());
        for piece in pieces.drain(..) {
            self.link.out.extend_from_slice(&piece);
        }
    }

    /// The app went away in the middle of its content. To abort is never to send the end.
    async fn abort(&mut self, framing: Framing, transaction: &mut Transaction<'_>) {
        if framing == Framing::Data {
            // In DATA there is no way back but to close.
            return;
        }
        while transaction.owes_chunk() {
            match self.exchange(Stage::Content).await {
                Ok(reply) if reply.code != 421 => transaction.reply(&reply),
                _ => return,
            }
        }
        self.usable = self.reset().await;
    }

    /// Asks whether sender and recipients would be taken, and takes the question back: no mail is sent.
    ///
    /// # Errors
    /// The first refusal, or the connection broke.
    pub async fn try_envelope(&mut self, envelope: &Envelope) -> Result<Vec<Reply>, Fault> {
        self.usable = false;
        let recipients = Recipients::AllOrNothing;
        let plan = Plan { recipients, whole: None, eight_bit: false, fresh: false };
        let mut replies = Vec::new();
        for (stage, recipient, line) in envelope_lines(envelope, &self.extensions, plan) {
            self.link.line(&line);
            let reply = self.link.reply(stage).await?;
            if !reply.is_positive() {
                return Err(Fault::refused(stage, &reply).about(recipient));
            }
            replies.push(reply);
        }
        self.usable = self.reset().await;
        Ok(replies)
    }

    /// RSET; false if the connection is of no more use. The app waits for a verdict that is known already: a reply
    /// that takes long costs the connection instead.
    async fn reset(&mut self) -> bool {
        let within = self.link.deadlines.quit;
        self.link.forget();
        self.link.command(b"RSET\r\n");
        let reset = async {
            self.link.flush(Stage::Wait).await?;
            self.link.read_reply(Stage::Wait, within).await
        };
        matches!(timeout(within, reset).await, Ok(Ok(reply)) if reply.is_positive())
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "stray_replies_tests.rs"]
mod stray_replies;
