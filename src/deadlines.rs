//! Every wait of the program, in one value that is passed into `run`: none is a constant at its point of use.

use std::time::Duration;

/// How long each wait may last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Resolving the upstream's name.
    pub resolve: Duration,
    /// One TCP connection, all addresses tried.
    pub connect: Duration,
    /// The TLS handshake.
    pub tls: Duration,
    /// Office 365's greeting.
    pub greeting: Duration,
    /// The reply to one command.
    pub command: Duration,
    /// Writing one chunk of content.
    pub chunk: Duration,
    /// Office 365's answer to the end of the content (RFC 5321 section 4.5.3.2.6 asks for 10 minutes; Exchange
    /// ends a session at 10).
    pub verdict: Duration,
    /// One exchange with the token service.
    pub token: Duration,
    /// Silence of the app, between commands and inside content (RFC 5321 section 4.5.3.2.7).
    pub app_idle: Duration,
    /// One command line of the app, from its first octet (RFC 5321 section 4.5.3.2.7): one octet now and then must not
    /// keep a place.
    pub app_line: Duration,
    /// From MAIL to the content: recipients and whatever is said between them.
    pub app_envelope: Duration,
    /// Content until it is whole or as much of it is here as is held, at whatever pace: it costs nobody a connection.
    pub app_held: Duration,
    /// Where all places are taken: the silence between two transactions after which a session makes room, and what a
    /// newcomer has for its first command.
    pub app_silence: Duration,
    /// Between two looks at an app that has sent a FIN, and a fifth of the time between the later ones.
    pub app_look: Duration,
    /// Writing a reply to the app: one that does not read must not keep a slot.
    pub app_write: Duration,
    /// The time that a streamed mail is waited for, as a whole: Exchange ends a session at 10 minutes even while it is
    /// active. Also the rest of a refused mail, which is read and dropped.
    pub stream: Duration,
    /// The window over which a streamed mail must keep its least speed.
    pub stream_window: Duration,
    /// An upstream connection without mail (cloud NATs drop silently at 4 minutes).
    pub idle: Duration,
    /// An upstream connection's whole life.
    pub age: Duration,
    /// How long a connection that just answered is trusted with MAIL, RCPT and the content in one flight.
    pub fresh: Duration,
    /// A courtesy when the verdict is known already: QUIT or RSET and its reply, a closing server's last words.
    pub quit: Duration,
    /// How long freed memory is kept before it goes back to the system.
    pub trim: Duration,
    /// `exec`: from the shim's start to its listening.
    pub shim_start: Duration,
    /// `exec`: the shim's reading of the configuration that it is handed.
    pub shim_handover: Duration,
    /// `exec`: what the shim gets beyond its grace before it is killed.
    pub shim_overtime: Duration,
    /// `exec`: the pause before a first restart of the shim.
    pub restart_least: Duration,
    /// `exec`: the longest pause before a restart; a shim that lived this long counts as well again.
    pub restart_most: Duration,
    /// `healthcheck`, one try of `wait`, and one look of `status`.
    pub probe: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            resolve: seconds(10),
            connect: seconds(15),
            tls: seconds(15),
            greeting: seconds(30),
            command: seconds(30),
            chunk: seconds(60),
            verdict: seconds(300),
            token: seconds(20),
            app_idle: seconds(300),
            app_line: seconds(300),
            app_envelope: seconds(600),
            app_held: seconds(600),
            app_silence: seconds(10),
            app_look: Duration::from_millis(200),
            app_write: seconds(60),
            stream: seconds(480),
            stream_window: seconds(30),
            idle: seconds(90),
            age: seconds(540),
            fresh: seconds(10),
            quit: seconds(2),
            trim: seconds(20),
            shim_start: seconds(30),
            shim_handover: seconds(2),
            shim_overtime: seconds(5),
            restart_least: Duration::from_millis(200),
            restart_most: seconds(30),
            probe: seconds(5),
        }
    }
}
