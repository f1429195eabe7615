//! The program under measurement: built as it is released, started as a child, watched from outside through /proc.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use office365::Office365;
use support::program::Program;

/// /proc counts processor time in these (USER_HZ, which is 100 on every Linux there is).
const TICKS_PER_SECOND: f64 = 100.0;

/// The binary that `MAILSHIM_BIN` names, or the static release binary, built now.
pub fn binary() -> Result<PathBuf, String> {
    if let Some(path) = env::var_os("MAILSHIM_BIN") {
        return Ok(path.into());
    }
    eprintln!("building the static release binary (MAILSHIM_BIN names one that is there already)");
    let target = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let built = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--bin", "mailshim", "--target", &target])
        .args(["--message-format", "json-render-diagnostics"])
        .env("RUSTFLAGS", "-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    let messages = String::from_utf8_lossy(&built.stdout);
    let executable = messages.lines().rev().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    executable.filter(|_| built.status.success()).ok_or_else(|| "the binary could not be built".to_string())
}

/// What an ELF file (64 bit, little-endian) says about itself.
pub struct Elf {
    /// Octets of the file.
    pub size: u64,
    /// It names a program interpreter (PT_INTERP): it needs a libc at run time.
    pub is_dynamic: bool,
    /// It has a symbol table (SHT_SYMTAB): it is not stripped.
    pub has_symbols: bool,
}

impl Elf {
    /// Reads the tables of contents.
    pub fn read(path: &Path) -> Result<Self, String> {
        const PT_INTERP: u64 = 3;
        const SHT_SYMTAB: u64 = 2;
        let file = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let number = |at: usize, octets: usize| -> u64 {
            let field = file.get(at..at + octets).unwrap_or_default();
            field.iter().rev().fold(0, |number, octet| number << 8 | u64::from(*octet))
        };
        if !file.starts_with(b"\x7fELF\x02\x01") {
            return Err(format!("{} is no 64-bit little-endian ELF file", path.display()));
        }
        // Offset, entry size and number of a table's entries stand in the header; the type is the entry's first word,
        // or its second.
        let has = |(offset, size, count): (usize, usize, usize), within: usize, kind: u64| {
            let (first, size) = (number(offset, 8) as usize, number(size, 2) as usize);
            (0..number(count, 2) as usize).any(|index| number(first + index * size + within, 4) == kind)
        };
        let is_dynamic = has((0x20, 0x36, 0x38), 0, PT_INTERP);
        let has_symbols = has((0x28, 0x3a, 0x3c), 4, SHT_SYMTAB);
        Ok(Self { size: file.len() as u64, is_dynamic, has_symbols })
    }
}

/// Octets of memory (proc_pid_smaps(5)).
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// What is resident.
    pub rss: u64,
    /// The same, shared pages by their share.
    pub pss: u64,
    /// What no file backs: heap, stacks, written data.
    pub anonymous: u64,
}

impl Memory {
    /// Of a process.
    pub fn of(pid: u32) -> Result<Self, String> {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let octets = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
            kilobytes.map(|number| number * 1024).ok_or_else(|| format!("{path} has no {name}"))
        };
        Ok(Self { rss: octets("Rss:")?, pss: octets("Pss:")?, anonymous: octets("Anonymous:")? })
    }
}

/// The running program. Dropped, it is killed.
pub struct Shim {
    program: Program,
    started: Duration,
}

impl Shim {
    /// Starts it and waits until it listens and has its first token.
    pub fn start(binary: &Path, office365: &Office365) -> Result<Self, String> {
        let mut command = Command::new(binary);
        command.arg("run");
        // No pacing, and no port that a second one on this machine would want too.
        let more = [("MAILSHIM_MESSAGES_PER_MINUTE", "0"), ("MAILSHIM_HTTP_LISTEN", "127.0.0.1:0")];
        let begun = Instant::now();
        let mut program = Program::start_by(command, office365, &more);
        let started = begun.elapsed();
        program.wait_for("\"message\":\"a token was obtained\"");
        let shim = Self { program, started };
        if shim.troubles() > 0 {
            return Err(format!("mailshim does not start: {}", shim.program.printed()));
        }
        Ok(shim)
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.program.address
    }

    /// From exec to the log line that says that it listens.
    pub const fn started(&self) -> Duration {
        self.started
    }

    /// Its memory.
    pub fn memory(&self) -> Result<Memory, String> {
        Memory::of(self.pid())
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Log lines of level WARN and ERROR so far; the first ones are shown.
    pub fn troubles(&self) -> usize {
        let log = self.program.printed();
        let is_trouble =
            |line: &&str| line.contains("\"level\":\"WARN\"") || line.contains("\"level\":\"ERROR\"");
        let troubles: Vec<_> = log.lines().filter(is_trouble).collect();
        troubles.iter().take(5).for_each(|line| eprintln!("mailshim: {line}"));
        troubles.len()
    }

    /// Processor time so far, its kernel's share included (proc_pid_stat(5)).
    pub fn processor(&self) -> Result<Duration, String> {
        let path = format!("/proc/{}/stat", self.pid());
        let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        // utime and stime are fields 14 and 15; the second is a name in parentheses that may hold spaces.
        let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields).split_ascii_whitespace();
        let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        if ticks.len() != 2 {
            return Err(format!("{path} has no utime and stime"));
        }
        Ok(Duration::from_secs_f64(ticks.iter().sum::<f64>() / TICKS_PER_SECOND))
    }
}
