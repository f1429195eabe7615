//! Start-up: every mistake at once, and a port that cannot be had.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use office365::{Office365, Settings};
use support::client::Client;
use support::program::{Program, event, program, run};

/// Four variables with no truth in them, for what ends before the first connection.
const FOUR: [(&str, &str); 4] = [
    ("MAILSHIM_MAILBOX", "app@contoso.com"),
    ("MAILSHIM_TENANT_ID", "11111111-2222-3333-4444-555555555555"),
    ("MAILSHIM_CLIENT_ID", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"),
    ("MAILSHIM_CLIENT_SECRET", "c4n4ry~Q.secret"),
];

/// Runs it to its end, with nothing but these variables and arguments; its exit code and what it printed.
#[track_caller]
fn ended(variables: &[(&str, &str)], arguments: &[&str]) -> (i32, String) {
    ended_by(Command::new(program()).env_clear().envs(variables.iter().copied()).args(arguments))
}

#[track_caller]
fn ended_by(command: &mut Command) -> (i32, String) {
    let ended = run(command, b"");
    (ended.code, ended.printed())
}

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    FOUR.iter().chain(more).copied().collect()
}

#[test]
fn an_address_of_the_network_is_refused_with_64() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "127.0.0.1:0,10.0.0.1:0"] {
        let (code, printed) = ended(&with(&[("MAILSHIM_LISTEN", address)]), &[]);
        assert_eq!(code, 64, "{address}: {printed}");
        assert!(printed.starts_with("1 mistake in the configuration:\nMAILSHIM_LISTEN: "), "{printed}");
        assert!(printed.contains("is not a loopback address"), "{printed}");
    }
}

#[test]
fn ten_mistakes_are_named_at_once() {
    let variables = [
        ("MAILSHIM_LISTEN", "0.0.0.0:25"),
        ("MAILSHIM_MAX_MESSAGE_SIZE", "35M"),
        ("MAILSHIM_APP_USERNAME", "app"),
        ("MAILSHIM_TENANT_ID", "common"),
        ("MAILSHIM_CLIENT_SECRET", "c4n4ry~Q.secret"),
        ("MAILSHIM_CLIENT_SECRET_FILE", "/run/secrets/mail"),
        ("MAILSHIM_MAX_CONECTIONS", "2"),
        ("MAILSHIM_HOLD", "45"),
        ("MAILSHIM_LOG_FORMAT", "xml"),
    ];
    let (code, printed) = ended(&variables, &["run"]);
    assert_eq!(code, 64, "{printed}");
    // The configuration's own golden file: the program must print no less than the library reports.
    assert_eq!(printed.trim_end(), include_str!("../../../src/config/tests/ten_mistakes.txt").trim_end());
    assert!(!printed.contains("c4n4ry"), "{printed}");
}

#[test]
fn an_unknown_variable_is_refused_with_a_suggestion() {
    let (code, printed) = ended(&with(&[("MAILSHIM_MAILBOXX", "c4n4ry")]), &[]);
    assert_eq!(code, 64);
    let mistake = "MAILSHIM_MAILBOXX: is no variable of mailshim: did you mean MAILSHIM_MAILBOX?";
    assert_eq!(printed, format!("1 mistake in the configuration:\n{mistake}\n"));
}

#[test]
fn unknown_arguments_are_refused_with_64() {
    let (code, printed) = ended(&FOUR, &["server"]);
    assert_eq!(code, 64);
    assert!(printed.starts_with("mailshim: unrecognized subcommand 'server'\n"), "{printed}");
    let (code, printed) = ended(&[], &["--version"]);
    assert_eq!((code, printed), (0, format!("mailshim {}\n", env!("CARGO_PKG_VERSION"))));
    assert_eq!(ended(&[], &["--help"]).0, 0);
}

#[test]
fn a_port_in_use_says_how_to_go_on() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let (code, printed) =
        ended(&with(&[("MAILSHIM_LISTEN", &address), ("MAILSHIM_LOG_FORMAT", "text")]), &[]);
    assert_eq!(code, 1, "{printed}");
    assert!(printed.contains(&format!("ERROR cannot listen on {address}")), "{printed}");
    assert!(printed.contains("another program listens there") && printed.contains("ss -ltnp"), "{printed}");
}

/// As user `nobody` without capabilities, in a network namespace of its own, where port 25 is reserved.
#[test]
fn a_reserved_port_says_how_to_go_on() {
    let script = "ip link set lo up && test \"$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)\" -gt 25 && \
                  exec setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set=-all --inh-caps=-all \"$@\"";
    let in_namespace = |program: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["-n", "sh", "-c", script, "sh"]).args(program);
        command
    };
    if !in_namespace(&[program(), "--version"]).output().is_ok_and(|output| output.status.success()) {
        println!(
            "skipped: needs root, unshare (network namespace), ip, setpriv, and a program that nobody may run"
        );
        return;
    }
    let mut command = in_namespace(&[program()]);
    command.envs(with(&[("MAILSHIM_LISTEN", "127.0.0.1:25"), ("MAILSHIM_LOG_FORMAT", "text")]));
    let (code, printed) = ended_by(&mut command);
    assert_eq!(code, 1, "{printed}");
    assert!(printed.contains("cannot listen on 127.0.0.1:25 (Permission denied"), "{printed}");
    assert!(
        printed.contains("NET_BIND_SERVICE") && printed.contains("MAILSHIM_LISTEN=127.0.0.1:2525"),
        "{printed}"
    );
}

#[test]
fn each_bound_address_is_logged_and_answers() {
    let office365 = Office365::start(Settings::default());
    let mut shim = Program::start(&office365, &[("MAILSHIM_LISTEN", "127.0.0.1:0,127.0.0.2:0")]);
    let second = shim.wait_for("\"message\":\"listening\"");
    let second: SocketAddr = event(&second)["address"].as_str().unwrap().parse().unwrap();
    assert!(shim.address.port() != 0 && second.port() != 0);
    assert_eq!(
        (shim.address.ip().to_string(), second.ip().to_string()),
        ("127.0.0.1".into(), "127.0.0.2".into())
    );
    for address in [shim.address, second] {
        assert!(Client::connect(address).command("QUIT").starts_with("221 "));
    }
}

/// One session more than there is room for; the first then sends a mail, which needs descriptors of our own.
#[test]
fn few_descriptors_are_not_all_given_to_sessions() {
    let office365 = Office365::start(Settings::default());
    let mut command = Command::new("bash");
    command.args(["-c", "ulimit -n 40 && exec \"$0\"", program()]);
    let mut shim = Program::start_by(command, &office365, &[]);
    let mut apps: Vec<Client> = (0..8).map(|_| shim.client()).collect();
    // The one beyond them is greeted, so that a probe sees a listener, and hears it with its first command.
    let mut newcomer = shim.client();
    newcomer.command("EHLO late").begins("421 4.3.2 ", &[]);
    apps[0].command("EHLO app").is(250);
    apps[0].mail(b"From: app@contoso.com\r\nSubject: few\r\n\r\n").is(250);
    shim.signal("TERM");
    assert!(shim.wait().success());
    assert!(shim.log.iter().any(|line| line.contains("the limit on open files")), "{:?}", shim.log);
}
