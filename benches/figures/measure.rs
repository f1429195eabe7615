//! How each figure is measured.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use office365::Office365;

use crate::app::{App, mail_of};
use crate::direct::{Account, Direct};
use crate::report::Target::{AtLeast, AtMost, None as Reported};
use crate::report::{Report, median, quantile};
use crate::shim::{Elf, Memory, Shim};

/// The ordinary mail, in octets.
const SMALL: usize = 4 * 1024;
/// The large mail, in octets.
const LARGE: usize = 35_000_000;
/// Connections: what Office 365 allows one mailbox.
const CONNECTIONS: usize = 3;
/// How often the memory is looked at while large mails pass.
const SAMPLE: Duration = Duration::from_millis(5);
/// A connection that is idle for longer is asked before it is given content (the program's own figure).
const FRESH: Duration = Duration::from_secs(10);

/// How much is done for each figure.
pub struct Size {
    /// Starts of the program.
    pub starts: usize,
    /// Pairs of mails, one by each way.
    pub pairs: usize,
    /// Rounds of the throughput, each by each way.
    pub rounds: usize,
    /// Mails of one round.
    pub round: usize,
    /// Mails before the memory is read again.
    pub messages: usize,
    /// Whether to wait until a connection is no longer fresh.
    pub patient: bool,
}

/// What is measured, against what.
pub struct Bench<'a> {
    /// The program's file.
    pub binary: &'a Path,
    /// The upstream.
    pub office365: &'a Office365,
    /// How much.
    pub size: Size,
    /// Where the figures go.
    pub report: Report,
    /// Mails that have been acknowledged so far.
    pub sent: u64,
}

type Done = Result<(), String>;

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn megabytes(octets: u64) -> f64 {
    octets as f64 / 1e6
}

fn timed(work: impl FnOnce() -> Done) -> Result<Duration, String> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed())
}

/// Runs `work` on so many threads at once, and says how long all of them took.
fn at_once(work: impl Fn() -> Done + Sync) -> Result<Duration, String> {
    timed(|| {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(&work)).collect();
            threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a client panicked")?)
        })
    })
}

/// What the throughput's figures are called.
struct Names {
    direct: &'static str,
    what: &'static str,
    kept: &'static str,
    ratio: &'static str,
    single: &'static str,
    single_ratio: &'static str,
    /// A round has so many times fewer mails.
    divided: usize,
}

/// Without any distance the upstream's own work is all there is to wait for, and who has the most cores wins.
const AT_ONCE: Names = Names {
    direct: "throughput_direct",
    what: "3 connections, direct client",
    kept: "throughput_kept",
    ratio: "throughput",
    single: "throughput_single",
    single_ratio: "throughput_single_ratio",
    divided: 1,
};

/// How far away the distant upstream is: less than any real one.
pub const DISTANCE: Duration = Duration::from_millis(5);

const AT_A_DISTANCE: Names = Names {
    direct: "throughput_5ms_direct",
    what: "3 connections, upstream 5 ms away, direct client",
    kept: "throughput_5ms_kept",
    ratio: "throughput_5ms",
    single: "throughput_5ms_single",
    single_ratio: "throughput_5ms_single_ratio",
    divided: 5,
};

/// A warning means that something went wrong on the way, even if a second attempt has hidden it.
fn calm(shim: &Shim) -> Done {
    match shim.troubles() {
        0 => Ok(()),
        troubles => Err(format!("mailshim logged {troubles} warnings or errors")),
    }
}

impl Bench<'_> {
    fn start(&self) -> Result<Shim, String> {
        Shim::start(self.binary, self.office365)
    }

    /// All figures.
    ///
    /// # Errors
    /// Something did not work: no figure is an error.
    pub fn run(&mut self) -> Done {
        self.file()?;
        self.starts()?;
        // One at a time: a second process would halve the PSS of the pages that both have of the binary.
        let shim = self.start()?;
        self.idle_memory(&shim)?;
        self.many(shim)?;
        self.large()?;
        let quiet = self.start()?;
        let (mut app, last) = self.round_trips(&quiet)?;
        let account = Account::new(self.office365)?;
        let busy = self.start()?;
        self.latency(&account, &busy)?;
        self.throughput(&account, &busy, &AT_ONCE)?;
        if self.size.patient {
            thread::sleep((FRESH + Duration::from_millis(500)).saturating_sub(last.elapsed()));
            let trips = self.trips(|| app.mail(&mail_of(SMALL)))?;
            self.report.add(
                "round_trips_idle",
                "round trips, connection idle > 10 s",
                trips,
                "",
                AtMost(2.0),
            );
        }
        calm(&quiet)?;
        calm(&busy)?;
        self.all_taken()
    }

    /// The throughput, where `self.office365` is [`DISTANCE`] away.
    ///
    /// # Errors
    /// Something did not work.
    pub fn run_at_a_distance(&mut self) -> Done {
        let (account, shim) = (Account::new(self.office365)?, self.start()?);
        self.throughput(&account, &shim, &AT_A_DISTANCE)?;
        calm(&shim)?;
        self.all_taken()
    }

    /// Every acknowledged mail has been taken, and nothing was done against the protocol.
    fn all_taken(&self) -> Done {
        let (taken, sent) = (self.office365.stats().messages, self.sent);
        if taken != sent {
            return Err(format!("{sent} mails were acknowledged, {taken} were taken upstream"));
        }
        match self.office365.violations().first() {
            Some(first) => Err(format!("the protocol was violated: {first}")),
            None => Ok(()),
        }
    }

    fn file(&mut self) -> Done {
        let elf = Elf::read(self.binary)?;
        self.report.add("binary", "binary", megabytes(elf.size), "MB", AtMost(6.0));
        let is_static = f64::from(u8::from(!elf.is_dynamic));
        self.report.add("binary_static", "  static: no PT_INTERP", is_static, "", AtLeast(1.0));
        let is_stripped = f64::from(u8::from(!elf.has_symbols));
        self.report.add("binary_stripped", "  stripped: no symbol table", is_stripped, "", AtLeast(1.0));
        Ok(())
    }

    fn starts(&mut self) -> Done {
        let mut times = Vec::new();
        for _ in 0..self.size.starts {
            times.push(milliseconds(self.start()?.started()));
        }
        self.report.add("start_min", "exec to listening, least", quantile(&times, 0.0), "ms", Reported);
        self.report.add("start", "exec to listening, median", median(&times), "ms", AtMost(10.0));
        Ok(())
    }

    fn idle_memory(&mut self, shim: &Shim) -> Done {
        let memory = shim.memory()?;
        self.report.add("idle_anonymous", "idle: anonymous", megabytes(memory.anonymous), "MB", AtMost(1.0));
        self.report.add("idle_pss", "idle: PSS", megabytes(memory.pss), "MB", AtMost(4.0));
        self.report.add("idle_rss", "idle: RSS", megabytes(memory.rss), "MB", Reported);
        Ok(())
    }

    /// Upstream round trips of one mail, as the upstream counts them.
    fn trips(&mut self, mail: impl FnOnce() -> Done) -> Result<f64, String> {
        let before = self.office365.stats().round_trips;
        mail()?;
        self.sent += 1;
        Ok((self.office365.stats().round_trips - before) as f64)
    }

    fn round_trips(&mut self, shim: &Shim) -> Result<(App, Instant), String> {
        let mut app = App::connect(shim.address())?;
        let small = mail_of(SMALL);
        let first = self.trips(|| app.mail(&small))?;
        let name = "round trips, first mail with its connection (TCP and TLS not counted)";
        self.report.add("round_trips_first", name, first, "", Reported);
        let mut next = Vec::new();
        for _ in 0..5 {
            next.push(self.trips(|| app.mail(&small))?);
        }
        let next = quantile(&next, 1.0);
        self.report.add("round_trips", "round trips, one recipient, most of 5", next, "", AtMost(1.0));
        let several = self.trips(|| app.mail_to(3, &small))?;
        self.report.add("round_trips_several", "round trips, 3 recipients", several, "", AtMost(2.0));
        Ok((app, Instant::now()))
    }

    /// One mail by each way in turn, so that what else the machine does meets both.
    fn latency(&mut self, account: &Account, shim: &Shim) -> Done {
        let small = mail_of(SMALL);
        let mut direct = Direct::open(account)?;
        let mut app = App::connect(shim.address())?;
        let mut pairs = |mail: &mut dyn FnMut() -> Done| {
            let (mut by_direct, mut by_shim) = (Vec::new(), Vec::new());
            for _ in 0..self.size.pairs {
                // The new connection stays outside the clock here, and above the median there.
                direct.renew()?;
                by_direct.push(milliseconds(timed(|| direct.mail(&small))?));
                by_shim.push(milliseconds(timed(&mut *mail)?));
                self.sent += 2;
            }
            Ok::<_, String>((by_direct, by_shim))
        };
        let (by_direct, by_shim) = pairs(&mut || app.mail(&small))?;
        let (beside, by_pipelining) = pairs(&mut || app.pipelined_mail(&small))?;
        let (base, shim) = (median(&by_direct), median(&by_shim));
        self.report.add("latency_direct", "4 KB mail, direct client, median", base, "ms", Reported);
        self.report.add("latency_shim", "4 KB mail, through mailshim, median", shim, "ms", Reported);
        self.report.add("latency_added", "added at the median", shim - base, "ms", AtMost(0.3));
        let p90 = quantile(&by_shim, 0.9) - quantile(&by_direct, 0.9);
        self.report.add("latency_added_p90", "  at the 90th percentile", p90, "ms", Reported);
        let pipelined = median(&by_pipelining) - median(&beside);
        self.report.add(
            "latency_added_pipelined",
            "  at the median, the app pipelining",
            pipelined,
            "ms",
            Reported,
        );
        Ok(())
    }

    fn throughput(&mut self, account: &Account, shim: &Shim, names: &Names) -> Done {
        let small = mail_of(SMALL);
        let each = self.size.round / CONNECTIONS / names.divided;
        let per_second = |time: &Duration| (each * CONNECTIONS) as f64 / time.as_secs_f64();
        let (mut direct, mut kept, mut single) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.size.rounds {
            direct.push(at_once(|| {
                let mut direct = Direct::open(account)?;
                (0..each).try_for_each(|_| direct.mail(&small))
            })?);
            kept.push(kept_open(shim.address(), each)?);
            single.push(at_once(|| {
                (0..each).try_for_each(|_| {
                    let mut app = App::connect(shim.address())?;
                    app.mail(&small)?;
                    app.quit()
                })
            })?);
            self.sent += 3 * (each * CONNECTIONS) as u64;
            self.office365.drain_taken();
        }
        let rate = |times: &[Duration]| median(&times.iter().map(per_second).collect::<Vec<_>>());
        let ratio = |times: &[Duration]| {
            let ratios =
                times.iter().zip(&direct).map(|(time, direct)| direct.as_secs_f64() / time.as_secs_f64());
            median(&ratios.collect::<Vec<_>>())
        };
        let report = &mut self.report;
        report.add(names.direct, names.what, rate(&direct), "mails/s", Reported);
        report.add(names.kept, "  through mailshim, app connections kept", rate(&kept), "mails/s", Reported);
        report.add(names.ratio, "  ratio, median of the rounds", ratio(&kept), "", AtLeast(0.8));
        report.add(names.single, "  one app connection a mail", rate(&single), "mails/s", Reported);
        report.add(names.single_ratio, "  ratio", ratio(&single), "", Reported);
        Ok(())
    }

    /// Many mails: what one costs, and what stays behind.
    fn many(&mut self, shim: Shim) -> Done {
        let small = mail_of(SMALL);
        let mut app = App::connect(shim.address())?;
        let (half, begun) = (self.size.messages / 2, shim.processor()?);
        for _ in 0..half {
            app.mail(&small)?;
        }
        let one_at_a_time = (shim.processor()? - begun) / half as u32;
        let begun = shim.processor()?;
        let each = (self.size.messages - half) / CONNECTIONS;
        kept_open(shim.address(), each)?;
        let three_at_once = (shim.processor()? - begun) / (each * CONNECTIONS) as u32;
        self.sent += (half + each * CONNECTIONS) as u64;
        self.office365.drain_taken();
        let name = "processor time, 4 KB mail and its log line";
        self.report.add("cpu", name, milliseconds(one_at_a_time), "ms", AtMost(0.25));
        let name = "  with three under way at once";
        self.report.add("cpu_three", name, milliseconds(three_at_once), "ms", Reported);
        let memory = shim.memory()?;
        let name = format!("PSS after {} mails", self.size.messages);
        self.report.add("many_pss", &name, megabytes(memory.pss), "MB", AtMost(6.0));
        let anonymous = megabytes(memory.anonymous);
        self.report.add("many_anonymous", "  anonymous", anonymous, "MB", Reported);
        calm(&shim)
    }

    /// Three large mails at once, the memory sampled meanwhile.
    fn large(&mut self) -> Done {
        let (shim, large) = (self.start()?, mail_of(LARGE));
        let (pid, is_over) = (shim.pid(), AtomicBool::new(false));
        let (time, peak) = thread::scope(|scope| {
            let sampler = scope.spawn(|| {
                let mut peak = Memory::of(pid)?;
                while !is_over.load(Ordering::Relaxed) {
                    thread::sleep(SAMPLE);
                    let now = Memory::of(pid)?;
                    peak.pss = peak.pss.max(now.pss);
                    peak.anonymous = peak.anonymous.max(now.anonymous);
                }
                Ok::<_, String>(peak)
            });
            let time = at_once(|| App::connect(shim.address())?.mail(&large));
            is_over.store(true, Ordering::Relaxed);
            Ok::<_, String>((time?, sampler.join().map_err(|_| "the sampler panicked")??))
        })?;
        self.sent += CONNECTIONS as u64;
        self.office365.drain_taken();
        self.report.add("large_pss", "peak PSS, three 35 MB mails", megabytes(peak.pss), "MB", AtMost(8.0));
        self.report.add("large_anonymous", "  anonymous", megabytes(peak.anonymous), "MB", Reported);
        let rate = CONNECTIONS as f64 * LARGE as f64 / 1e6 / time.as_secs_f64();
        self.report.add("large_rate", "  their rate together", rate, "MB/s", Reported);
        let after = shim.memory()?;
        self.report.add("large_after_pss", "  PSS behind them", megabytes(after.pss), "MB", Reported);
        calm(&shim)
    }
}

/// Three connections of the app, kept open, each with so many mails.
fn kept_open(address: SocketAddr, each: usize) -> Result<Duration, String> {
    let small = mail_of(SMALL);
    at_once(|| {
        let mut app = App::connect(address)?;
        (0..each).try_for_each(|_| app.mail(&small))
    })
}
