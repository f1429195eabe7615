//! A PostgreSQL server of the test's own, with TLS and certificates made for it; as Debian installs it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use crate::files::Directory;
use crate::process::{Running, kill, until};
use crate::program::{Ended, program, run};
use crate::{CANARY, PATIENCE};

/// A running server, gone with this value.
pub struct Postgres {
    running: Option<Running>,
    directory: Directory,
    programs: PathBuf,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
}

/// The programs of the newest version that is installed.
fn installed() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path().join("bin"));
    versions.filter(|programs| programs.join("initdb").exists()).max()
}

/// A command that does not run as root, which PostgreSQL refuses.
pub fn command(program: impl AsRef<Path>) -> Command {
    if fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0) {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program.as_ref());
        command.current_dir("/");
        return command;
    }
    Command::new(program.as_ref())
}

/// A port that nobody has now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Postgres {
    /// A new server with a database `fleet`, whose role `replica` may use the schema that `mailshim fleet init` has made.
    /// `None`, and a line that says so, where PostgreSQL is not installed.
    pub fn start() -> Option<Self> {
        let mut postgres = Self::bare()?;
        let owner = postgres.url("postgres");
        let init = postgres.fleet(&["init"], &owner);
        assert_eq!(init.code, 0, "{}", init.printed());
        postgres.sql(
            "grant usage on schema mailshim to replica; \
             grant select, insert, update, delete on all tables in schema mailshim to replica; \
             grant execute on all functions in schema mailshim to replica",
        );
        postgres.wait();
        Some(postgres)
    }

    /// The same without a schema.
    pub fn bare() -> Option<Self> {
        let Some(programs) = installed() else {
            eprintln!("skipped: PostgreSQL is not installed (Debian: postgresql)");
            return None;
        };
        let directory = Directory::new();
        certificates(&directory);
        let path = directory.path("");
        fs::write(directory.path("password"), CANARY).unwrap();
        if command("true").get_program() == "setpriv" {
            assert!(Command::new("chown").args(["-R", "postgres", &path]).status().unwrap().success());
        }
        let made = run(
            command(programs.join("initdb"))
                .args(["--no-sync", "--auth-local=trust", "--auth-host=scram-sha-256", "--username=postgres"])
                .args(["--pwfile", &directory.path("password"), "--pgdata", &directory.path("data")]),
            b"",
        );
        assert_eq!(made.code, 0, "{}", made.printed());
        let port = free_port();
        let mut postgres = Self { running: None, directory, programs, port };
        postgres.start_again(&[]);
        postgres.sql(&format!(
            "create role replica login password '{CANARY}'; create role owner login password '{CANARY}'"
        ));
        postgres.sql("create database fleet");
        Some(postgres)
    }

    /// Starts the server again, with these settings.
    pub fn start_again(&mut self, settings: &[&str]) {
        let own = [
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".to_string(),
            format!("unix_socket_directories={}", self.directory.path("")),
            "ssl=on".to_string(),
            format!("ssl_cert_file={}", self.directory.path("server.pem")),
            format!("ssl_key_file={}", self.directory.path("server.key")),
            format!("ssl_ca_file={}", self.ca()),
        ];
        let mut command = command(self.programs.join("postgres"));
        command.args(["-D", &self.directory.path("data")]);
        for setting in own.iter().map(String::as_str).chain(settings.iter().copied()) {
            command.args(["-c", setting]);
        }
        self.running = Some(Running::start(&mut command));
        self.wait();
    }

    fn wait(&mut self) {
        until("PostgreSQL takes statements", || {
            self.psql("fleet", "select 1").code == 0 || self.psql("postgres", "select 1").code == 0
        });
    }

    /// A signal to the server and all its processes. SIGQUIT, to the first of them alone, is `-m immediate`.
    pub fn signal(&self, name: &str) {
        let first = self.running.as_ref().unwrap().pid();
        if name != "QUIT" {
            crate::process::children(first).into_iter().for_each(|pid| kill(name, pid));
        }
        kill(name, first);
    }

    /// Ends at once, as after a power cut.
    pub fn crash(&mut self) {
        self.signal("QUIT");
        if let Some(mut running) = self.running.take() {
            running.end();
        }
    }

    fn psql(&self, database: &str, sql: &str) -> Ended {
        let mut psql = command(self.programs.join("psql"));
        psql.args(["-XqtA", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-f", "-"]);
        psql.args(["-h", &self.directory.path(""), "-p", &self.port.to_string()]);
        run(&mut psql, sql.as_bytes())
    }

    /// Runs statements as the superuser, in the database `fleet` where it is there; what they print.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        let exists = self.psql("postgres", "select 1 from pg_database where datname = 'fleet'").stdout;
        let database = if exists.trim() == "1" { "fleet" } else { "postgres" };
        // The password is in some of them.
        let ended = self.psql(database, sql);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.stdout
    }

    /// The value of `MAILSHIM_FLEET` for a role; its password is [`CANARY`].
    pub fn url(&self, role: &str) -> String {
        format!("postgresql://{role}@localhost:{}/fleet", self.port)
    }

    /// The file of the root that its certificate goes back to.
    pub fn ca(&self) -> String {
        self.directory.path("ca.pem")
    }

    /// A file in its directory.
    pub fn path(&self, name: &str) -> String {
        self.directory.path(name)
    }

    /// `mailshim fleet` with these arguments, by this URL.
    pub fn fleet(&self, arguments: &[&str], url: &str) -> Ended {
        let mut command = Command::new(program());
        command.env_clear().arg("fleet").args(arguments);
        command.envs([
            ("MAILSHIM_FLEET", url),
            ("MAILSHIM_FLEET_PASSWORD", CANARY),
            ("MAILSHIM_CA_FILE", &self.ca()),
        ]);
        run(&mut command, b"")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            // A stopped server would not end.
            self.signal("CONT");
            kill("QUIT", running.pid());
        }
        let end = std::time::Instant::now() + PATIENCE;
        while let Some(running) = &self.running
            && crate::process::is_alive(running.pid())
            && std::time::Instant::now() < end
        {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

/// A root, a server's certificate for localhost, and one for the role `replica`.
fn certificates(directory: &Directory) {
    let mut root = CertificateParams::new(Vec::new()).unwrap();
    root.distinguished_name.push(DnType::CommonName, "The engine's root");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_key = KeyPair::generate().unwrap();
    fs::write(directory.path("ca.pem"), root.self_signed(&root_key).unwrap().pem()).unwrap();
    let root = Issuer::new(root, root_key);
    for (name, names, common, usage) in [
        (
            "server",
            vec!["localhost".to_string(), "127.0.0.1".to_string()],
            "localhost",
            ExtendedKeyUsagePurpose::ServerAuth,
        ),
        ("replica", Vec::new(), "replica", ExtendedKeyUsagePurpose::ClientAuth),
    ] {
        let mut certificate = CertificateParams::new(names).unwrap();
        certificate.distinguished_name.push(DnType::CommonName, common);
        certificate.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        fs::write(directory.path(&format!("{name}.pem")), certificate.signed_by(&key, &root).unwrap().pem())
            .unwrap();
        let path = directory.path(&format!("{name}.key"));
        fs::write(&path, key.serialize_pem()).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
}
