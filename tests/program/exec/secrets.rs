//! What the app can see of ours.

use super::harness::*;

const SECRET: &str = "Zq8Q~simulated+secret/with=odd&chars%41";

#[test]
fn the_environment_that_the_app_sees() {
    let office = office();
    let mut command = exec(&office, &["env"]);
    command.env("AZURE_CLIENT_SECRET", "the app's own").env("PLAIN", "plain").env("NOTIFY_SOCKET", "/theirs");
    let mut app = Running::start(&mut command);
    assert_eq!(app.code(), 0);
    let seen = app.output.rest();
    let ours: Vec<_> = seen.lines().filter(|line| line.starts_with("MAILSHIM_")).collect();
    assert_eq!(ours.len(), 1, "{ours:?}");
    // The port in use, not the 0 that was set.
    assert!(ours[0].starts_with("MAILSHIM_LISTEN=127.0.0.1:") && !ours[0].ends_with(":0"), "{ours:?}");
    assert!(!seen.contains(SECRET));
    for kept in ["PLAIN=plain", "AZURE_CLIENT_SECRET=the app's own", "NOTIFY_SOCKET=/theirs"] {
        assert!(seen.lines().any(|line| line == kept), "{kept}: {seen}");
    }
}

/// As the same user, without privileges: the supervisor, the shim, and for comparison the app itself.
#[test]
fn secrets_are_out_of_reach_in_proc_and_the_app_is_as_it_would_be_alone() {
    let office = office();
    let script = r#"
        try() { if cat "$2" > /dev/null 2>&1; then echo "$1 open:"; else echo "$1 closed:"; fi; }
        for pid in $PPID $(ps -o pid= --ppid $PPID); do
            [ $pid = $$ ] && continue
            try supervisor-or-shim /proc/$pid/environ
            try supervisor-or-shim /proc/$pid/maps
            if : < /proc/$pid/mem; then echo memory open:; else echo memory closed:; fi
        done 2>/dev/null
        try app /proc/$$/environ
        try app /proc/$$/maps
        echo "core:$(ulimit -c)" "user:$(id -u)."
    "#;
    let is_root =
        std::fs::metadata("/proc/self").is_ok_and(|us| std::os::unix::fs::MetadataExt::uid(&us) == 0);
    let drop_privileges: &[&str] =
        if is_root { &["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"] } else { &[] };
    let mut command = std::process::Command::new("bash");
    environment(&mut command, &office);
    command.args(["-c", "ulimit -c 64 && exec \"$@\"", "bash"]).args(drop_privileges);
    command.args([program(), "exec", "--", "bash", "-c", script]);
    let mut app = Running::start(&mut command);
    assert_eq!(app.code(), 0, "{}", app.log.rest());
    let seen = app.output.rest();
    let count = |line: &str| seen.lines().filter(|seen| *seen == line).count();
    assert_eq!(count("supervisor-or-shim closed:"), 4, "{seen}");
    assert_eq!(count("memory closed:"), 2, "{seen}");
    assert_eq!(count("app open:"), 2, "{seen}");
    assert!(seen.contains("core:64 user:") && !seen.contains("user:0."), "{seen}");
}
