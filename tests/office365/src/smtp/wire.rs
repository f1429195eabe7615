//! The socket: plain or TLS, one buffer in, one buffer out. Replies are collected and leave in one write when no whole
//! command is waiting, so that a pipelined flight costs the client one round trip, as it would with the real thing.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use memchr::memchr;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use crate::fault::Fault;
use crate::record::{Line, Side};
use crate::tenant::{Orders, Tenant};
use crate::wording::front;

/// Longest command line: AUTH's (RFC 4954 §4 allows 12,288 octets).
pub(crate) const MAX_LINE: usize = 12_288 + 64;

/// A flight that was cut by segment or TLS record borders gets this long to arrive whole before replies are flushed
/// early: otherwise the count of round trips would depend on how the kernel cut it.
const GRACE: Duration = Duration::from_millis(50);

const READ: usize = 64 * 1024;

/// Why a connection ended; shown in [`crate::ConnectionStats::end`].
pub(crate) struct End(pub(crate) &'static str);

const LEFT: End = End("client left");
const CUT: End = End("client left without close_notify");
const SERVER: End = End("server");

enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Gone,
}

/// What is done to the next reply on its way out.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Shape {
    Whole,
    Half,
    /// An octet at a time, so long apart.
    Trickle(Duration),
    /// The last reply once more behind it.
    Twice,
}

/// A command line.
pub(crate) enum Incoming {
    /// Without its line end; `bare`: it ended in LF alone or has a CR inside.
    Line {
        line: Vec<u8>,
        bare: bool,
    },
    TooLong,
}

pub(crate) struct Wire {
    transport: Transport,
    pub(crate) input: BytesMut,
    output: Vec<u8>,
    last_reply: usize,
    pub(crate) shape: Shape,
    tenant: Arc<Tenant>,
    id: u64,
    orders: watch::Receiver<Orders>,
    seen: Orders,
}

impl Wire {
    pub(crate) fn new(tcp: TcpStream, tenant: Arc<Tenant>, id: u64) -> Wire {
        let _ = tcp.set_nodelay(true);
        let orders = tenant.orders.subscribe();
        let seen = *orders.borrow();
        Wire {
            transport: Transport::Plain(tcp),
            input: BytesMut::new(),
            output: Vec::new(),
            last_reply: 0,
            shape: Shape::Whole,
            tenant,
            id,
            orders,
            seen,
        }
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self.transport, Transport::Tls(_))
    }

    fn record(&self, side: Side, text: String) {
        self.tenant.record.line(Line { connection: self.id, tls: self.is_tls(), side, text });
    }

    /// Notes a line of the client's, credentials already taken out.
    pub(crate) fn saw(&self, text: impl FnOnce() -> String) {
        if self.tenant.settings.record_dialogue {
            self.record(Side::Client, text());
        }
    }

    /// Queues a reply; `\n` separates its lines.
    pub(crate) fn reply(&mut self, text: &str) {
        self.last_reply = self.output.len();
        for line in text.split('\n') {
            if self.tenant.settings.record_dialogue {
                self.record(Side::Server, line.to_owned());
            }
            self.output.extend_from_slice(line.as_bytes());
            self.output.extend_from_slice(b"\r\n");
        }
    }

    /// Queues octets as they are.
    pub(crate) fn raw(&mut self, octets: &[u8]) {
        if self.tenant.settings.record_dialogue {
            self.record(Side::Server, String::from_utf8_lossy(octets).escape_debug().to_string());
        }
        self.output.extend_from_slice(octets);
    }

    async fn write(&mut self, octets: &[u8]) -> Result<(), End> {
        let written = match &mut self.transport {
            Transport::Plain(tcp) => tcp.write_all(octets).await,
            Transport::Tls(tls) => match tls.write_all(octets).await {
                Ok(()) => tls.flush().await,
                failed => failed,
            },
            Transport::Gone => Err(io::ErrorKind::NotConnected.into()),
        };
        written.map_err(|_| CUT)
    }

    /// Sends the queued replies in one write.
    pub(crate) async fn flush(&mut self) -> Result<(), End> {
        if self.output.is_empty() {
            return Ok(());
        }
        let latency = self.tenant.settings.latency;
        if !latency.is_zero() {
            sleep(latency).await;
        }
        self.tenant.record.flushed(self.id);
        let mut output = std::mem::take(&mut self.output);
        match std::mem::replace(&mut self.shape, Shape::Whole) {
            Shape::Whole => self.write(&output).await?,
            Shape::Half => {
                let half = self.last_reply + (output.len() - self.last_reply) / 2;
                self.write(&output[..half]).await?;
                return Err(self.fin().await);
            }
            Shape::Trickle(pause) => {
                for octet in &output {
                    self.write(std::slice::from_ref(octet)).await?;
                    sleep(pause).await;
                }
            }
            Shape::Twice => {
                output.extend_from_within(self.last_reply..);
                self.write(&output).await?;
            }
        }
        output.clear();
        self.output = output;
        Ok(())
    }

    /// Reads what there is, at least one octet.
    pub(crate) async fn read(&mut self) -> Result<(), End> {
        self.input.reserve(READ);
        let got = match &mut self.transport {
            Transport::Plain(tcp) => tcp.read_buf(&mut self.input).await,
            Transport::Tls(tls) => tls.read_buf(&mut self.input).await,
            Transport::Gone => return Err(CUT),
        };
        match got {
            Ok(0) => Err(LEFT),
            Ok(_) => Ok(()),
            Err(_) => Err(CUT),
        }
    }

    /// Reads more of something that has begun. Replies still owed to the same flight wait for the rest of it a moment.
    pub(crate) async fn read_on(&mut self) -> Result<(), End> {
        if !self.output.is_empty() {
            match timeout(GRACE, self.read()).await {
                Ok(read) => return read,
                Err(_) => self.flush().await?,
            }
        }
        self.read().await
    }

    /// The next command line. `idle`: nothing is in progress, so the idle faults apply.
    pub(crate) async fn line(&mut self, idle: bool, used: bool) -> Result<Incoming, End> {
        let mut scanned = 0;
        loop {
            if let Some(at) = memchr(b'\n', &self.input[scanned..]) {
                let mut line = self.input.split_to(scanned + at);
                self.input.advance(1);
                let crlf = line.last() == Some(&b'\r');
                line.truncate(line.len() - usize::from(crlf));
                let bare = !crlf || memchr(b'\r', &line).is_some();
                return Ok(Incoming::Line { line: line.to_vec(), bare });
            }
            scanned = self.input.len();
            if scanned > MAX_LINE {
                self.input.clear();
                return Ok(Incoming::TooLong);
            }
            if scanned > 0 {
                self.read_on().await?;
                continue;
            }
            self.flush().await?;
            if idle { self.read_idle(used).await? } else { self.read().await? }
        }
    }

    /// Orders given from here on hold for this connection, as soon as it is idle. Called before a mail or a sign-in is
    /// made visible to the test: one that has seen it and then calls `close_idle` always closes this connection.
    pub(crate) fn will_be_idle(&mut self) {
        self.seen = *self.orders.borrow();
    }

    async fn read_idle(&mut self, used: bool) -> Result<(), End> {
        let since = Instant::now();
        let mut orders = self.orders.clone();
        loop {
            let now = *orders.borrow_and_update();
            if now.close != self.seen.close {
                return Err(self.fin().await);
            }
            let deaf = |fault: &Fault| *fault == Fault::BlackholeIdle;
            if (used || now.look != self.seen.look) && self.tenant.faults.take(deaf).is_some() {
                return Err(self.stall_deaf().await);
            }
            let timed = |fault: &Fault| matches!(fault, Fault::StaleIdle(_) | Fault::TimeoutIdle(_));
            let fault = self.tenant.faults.peek(timed);
            let limit = match &fault {
                Some(Fault::StaleIdle(after) | Fault::TimeoutIdle(after)) => Some(*after),
                _ => self.tenant.settings.idle_timeout,
            };
            let ends = async {
                match limit {
                    Some(limit) => sleep(limit.saturating_sub(since.elapsed())).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // In this order: an order given before the client's next octet was sent must win over that octet.
                biased;
                _ = orders.changed() => {}
                read = self.read() => return read,
                () = ends => {
                    if let Some(fault) = fault && self.tenant.faults.is(&fault) && matches!(fault, Fault::StaleIdle(_)) {
                        return Err(self.fin().await);
                    }
                    self.reply(front::TIMED_OUT);
                    return Err(self.goodbye("server").await);
                }
            }
        }
    }

    /// TLS from here on. The plaintext left in the buffer was never protected and is forgotten; how much it was.
    pub(crate) async fn start_tls(&mut self, config: Arc<ServerConfig>) -> Result<usize, (End, io::Error)> {
        let left_over = self.input.len();
        self.input.clear();
        let Transport::Plain(tcp) = std::mem::replace(&mut self.transport, Transport::Gone) else {
            return Err((SERVER, io::Error::other("TLS within TLS")));
        };
        let latency = self.tenant.settings.latency;
        if !latency.is_zero() {
            sleep(latency).await;
        }
        match TlsAcceptor::from(config).accept(tcp).await {
            Ok(tls) => self.transport = Transport::Tls(Box::new(tls)),
            Err(error) => return Err((End("handshake failed"), error)),
        }
        Ok(left_over)
    }

    /// Version and cipher suite, server name, client certificate.
    pub(crate) fn tls_facts(&self) -> (String, Option<String>, Vec<Vec<u8>>) {
        let Transport::Tls(tls) = &self.transport else {
            return Default::default();
        };
        let connection = tls.get_ref().1;
        let version = connection.protocol_version().map(|v| format!("{v:?}")).unwrap_or_default();
        let suite =
            connection.negotiated_cipher_suite().map(|s| format!("{:?}", s.suite())).unwrap_or_default();
        let client = connection.peer_certificates().unwrap_or_default().iter().map(|c| c.to_vec()).collect();
        (format!("{version} {suite}"), connection.server_name().map(str::to_owned), client)
    }

    /// Waits until the client has sent something, leaving it unread.
    pub(crate) async fn wait_readable(&mut self) {
        if let Transport::Plain(tcp) = &self.transport {
            let _ = tcp.readable().await;
        }
    }

    fn take_tcp(&mut self) -> Option<TcpStream> {
        match std::mem::replace(&mut self.transport, Transport::Gone) {
            Transport::Plain(tcp) => Some(tcp),
            Transport::Tls(tls) => Some(tls.into_inner().0),
            Transport::Gone => None,
        }
    }

    /// TCP FIN, no close_notify. What the client still sends is read for a moment: unread octets would turn FIN into RST.
    pub(crate) async fn fin(&mut self) -> End {
        if let Some(mut tcp) = self.take_tcp() {
            let _ = tcp.shutdown().await;
            let mut sink = vec![0; READ];
            let _ = timeout(Duration::from_millis(100), async {
                while tcp.read(&mut sink).await.is_ok_and(|n| n > 0) {}
            })
            .await;
        }
        SERVER
    }

    /// TCP RST.
    pub(crate) fn reset(&mut self) -> End {
        if let Some(tcp) = self.take_tcp() {
            let _ = tcp.set_zero_linger();
        }
        SERVER
    }

    /// Flushes, then close_notify and FIN, then waits for the client's.
    pub(crate) async fn goodbye(&mut self, how: &'static str) -> End {
        if let Err(end) = self.flush().await {
            return end;
        }
        let _ = match &mut self.transport {
            Transport::Plain(tcp) => tcp.shutdown().await,
            Transport::Tls(tls) => tls.shutdown().await,
            Transport::Gone => Ok(()),
        };
        let drain = async {
            while self.read().await.is_ok() {
                self.input.clear();
            }
        };
        let _ = timeout(Duration::from_millis(500), drain).await;
        End(how)
    }

    /// close_notify and FIN, and goes on reading until the client leaves.
    pub(crate) async fn half_close(&mut self) -> End {
        let _ = match &mut self.transport {
            Transport::Plain(tcp) => tcp.shutdown().await,
            Transport::Tls(tls) => tls.shutdown().await,
            Transport::Gone => Ok(()),
        };
        self.stall().await
    }

    /// Reads and forgets until the client leaves; never answers.
    pub(crate) async fn stall(&mut self) -> End {
        loop {
            self.input.clear();
            if let Err(end) = self.read().await {
                return end;
            }
        }
    }

    /// Neither reads nor answers, until the client has left.
    pub(crate) async fn stall_deaf(&mut self) -> End {
        let Some(tcp) = self.take_tcp() else { return SERVER };
        // Unread octets keep the socket readable, so that awaiting readiness would spin: look now and then.
        while !tcp
            .ready(Interest::READABLE | Interest::WRITABLE)
            .await
            .is_ok_and(|ready| ready.is_read_closed())
        {
            sleep(Duration::from_millis(20)).await;
        }
        CUT
    }
}
