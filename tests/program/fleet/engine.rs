//! PostgreSQL is not as it should be.

use std::process::Command;

use office365::Settings;
use support::CANARY;
use support::postgres::{Postgres, free_port};
use support::process::{Running, until};
use support::program::Program;

use super::{Fleet, send};
use crate::telemetry::http::started;

#[test]
fn what_is_wrong_with_it_is_said_with_the_fix() {
    let Some(mut postgres) = Postgres::bare() else { return };
    let says = |postgres: &Postgres, role: &str, words: &str| {
        let ended = postgres.fleet(&["status"], &postgres.url(role));
        assert!(ended.code == 1 && ended.stderr.contains(words), "{words}: {}", ended.printed());
    };
    says(&postgres, "replica", "Run mailshim fleet init");
    says(&postgres, "nobody", "password authentication failed");
    let wrong_name = postgres.url("replica").replace("localhost", "127.0.0.2");
    let ended = postgres.fleet(&["status"], &wrong_name);
    assert_eq!(ended.code, 1, "{}", ended.printed());
    let mut without_root = Command::new(support::program::program());
    without_root.env_clear().args(["fleet", "status"]);
    without_root
        .envs([("MAILSHIM_FLEET", postgres.url("replica").as_str()), ("MAILSHIM_FLEET_PASSWORD", CANARY)]);
    let ended = support::program::run(&mut without_root, b"");
    assert!(ended.code == 1 && ended.stderr.contains("MAILSHIM_CA_FILE"), "{}", ended.printed());
    // The owner of a schema need not be a superuser; and it may be run again.
    postgres.sql("grant create on database fleet to owner");
    for _ in 0..2 {
        let ended = postgres.fleet(&["init"], &postgres.url("owner"));
        assert_eq!(ended.code, 0, "{}", ended.printed());
    }
    let ended = postgres.fleet(&["init", "--print"], &postgres.url("owner"));
    assert!(
        ended.stdout.contains("create table") && ended.stdout.contains("grant usage"),
        "{}",
        ended.printed()
    );
    says(&postgres, "replica", "Run mailshim fleet init");
    postgres.crash();
    postgres.start_again(&["default_transaction_read_only=on"]);
    says(&postgres, "owner", "read-only");
    postgres.crash();
    postgres.start_again(&["fsync=off"]);
    let fleet = Fleet::on(postgres, Settings::default());
    let url = fleet.postgres.url("owner");
    let mut replica = fleet.replica(&[("MAILSHIM_FLEET", &url)]);
    assert_eq!(replica.wait().code(), Some(64), "{}", replica.printed());
    assert!(replica.printed().contains("fsync = off"), "{}", replica.printed());
}

#[test]
fn while_it_does_not_answer_mail_goes_on_with_a_share_or_is_held() {
    let Some(fleet) = Fleet::start(Settings::default()) else { return };
    let share = [("MAILSHIM_FLEET_UNREACHABLE", "share"), ("MAILSHIM_HOLD", "30s")];
    let hold = [("MAILSHIM_FLEET_UNREACHABLE", "hold"), ("MAILSHIM_HOLD", "5s")];
    let (mut shares, mut holds) = (fleet.member(&share), fleet.member(&hold));
    for replica in [&shares, &holds] {
        until("a mail goes", || send(replica).code == 250);
    }
    fleet.postgres.signal("STOP");
    send(&shares).is(250);
    shares.wait_for("share of the limits");
    holds.wait_for("nothing is sent");
    // What it had is its own to the end of its lease; the pace is not.
    send(&holds).is(451);
    fleet.postgres.signal("CONT");
    for replica in [&mut shares, &mut holds] {
        replica.wait_for("is reached");
    }
    until("what was held goes", || send(&holds).code == 250);
}

/// What the page, the screen and the JSON say of it.
#[test]
fn the_status_tells_whether_it_is_reached() {
    let Some(fleet) = Fleet::start(Settings::default()) else { return };
    let (_replica, probes) = started(fleet.replica(&[("MAILSHIM_HTTP_LISTEN", "127.0.0.1:0")]));
    let fleet_is = |reached: bool| {
        let answer = probes.ask_with("GET", "/", "Host: localhost\r\nAccept: application/json");
        let value: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        value["fleet"]["reached"] == reached && value["fleet"]["replicas"].is_i64()
    };
    until("it is reached", || fleet_is(true));
    fleet.postgres.signal("STOP");
    until("it is not reached", || fleet_is(false));
    fleet.postgres.signal("CONT");
    until("it is reached again", || fleet_is(true));
}

#[test]
fn after_a_crash_of_it_the_minute_counts_as_full() {
    let Some(mut fleet) = Fleet::start(Settings::default()) else { return };
    // A slow machine's calls may be given up: then nothing goes, either.
    let mut replica = fleet.member(&[("MAILSHIM_HOLD", "4s"), ("MAILSHIM_FLEET_UNREACHABLE", "hold")]);
    until("a mail goes", || send(&replica).code == 250);
    let before = fleet.office365.taken_count();
    fleet.postgres.crash();
    replica.wait_for("is not reached");
    fleet.postgres.start_again(&[]);
    replica.wait_for("is reached");
    until("the minute is full", || send(&replica).is(451).starts_with("451 4.4.2"));
    assert_eq!(fleet.office365.taken_count(), before);
}

#[test]
fn one_that_is_away_at_the_start_is_looked_for() {
    let Some(mut fleet) = Fleet::start(Settings::default()) else { return };
    fleet.postgres.crash();
    let mut replica = fleet.replica(&[("MAILSHIM_FLEET_SIZE", "3")]);
    replica.wait_for("1/3 of the pace");
    send(&replica).is(250);
    fleet.postgres.start_again(&[]);
    replica.wait_for("is reached");
}

#[test]
fn a_client_certificate_signs_the_role_in() {
    let Some(fleet) = Fleet::start(Settings::default()) else { return };
    let rules = "local all all trust\nhostssl all replica all cert\n";
    std::fs::write(fleet.postgres.path("data/pg_hba.conf"), rules).unwrap();
    fleet.postgres.sql("select pg_reload_conf()");
    let (chain, key) = (fleet.postgres.path("replica.pem"), fleet.postgres.path("replica.key"));
    let certificate = [
        ("MAILSHIM_FLEET_PASSWORD", ""),
        ("MAILSHIM_FLEET_CERT_FILE", chain.as_str()),
        ("MAILSHIM_FLEET_KEY_FILE", key.as_str()),
    ];
    let replica = fleet.member(&certificate);
    send(&replica).is(250);
}

#[test]
fn pgbouncer_may_give_each_call_another_session() {
    let pgbouncer = "/usr/sbin/pgbouncer";
    if !std::path::Path::new(pgbouncer).exists() {
        return eprintln!("skipped: pgbouncer is not installed");
    }
    let Some(fleet) = Fleet::start(Settings::default()) else { return };
    let (postgres, port) = (&fleet.postgres, free_port());
    let (ini, users) = (postgres.path("pgbouncer.ini"), postgres.path("users.txt"));
    std::fs::write(&users, format!("\"replica\" \"{CANARY}\"\n")).unwrap();
    let settings = format!(
        "[databases]\nfleet = host=127.0.0.1 port={} dbname=fleet\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         auth_type = scram-sha-256\nauth_file = {users}\npool_mode = transaction\ndefault_pool_size = 2\nunix_socket_dir =\n\
         client_tls_sslmode = require\nclient_tls_key_file = {}\nclient_tls_cert_file = {}\nserver_tls_sslmode = require\n",
        postgres.port,
        postgres.path("server.key"),
        postgres.path("server.pem"),
    );
    std::fs::write(&ini, settings).unwrap();
    let mut command = support::postgres::command(pgbouncer);
    let bouncer = Running::start(command.arg(&ini));
    let url = format!("postgresql://replica@localhost:{port}/fleet");
    let replicas: Vec<Program> = (0..2).map(|_| fleet.member(&[("MAILSHIM_FLEET", &url)])).collect();
    for replica in replicas.iter().cycle().take(6) {
        send(replica).is(250);
    }
    assert_eq!(fleet.office365.taken_count(), 6);
    drop(bouncer);
}

#[test]
fn check_has_a_rung_for_it() {
    let Some(fleet) = Fleet::start(Settings::default()) else { return };
    let check = |url: &str| {
        let mut variables = support::program::variables(&fleet.office365, &[]);
        variables.insert("MAILSHIM_CA_FILE".to_string(), fleet.roots.path().to_string());
        variables.insert("MAILSHIM_FLEET".to_string(), url.to_string());
        variables.insert("MAILSHIM_FLEET_PASSWORD".to_string(), CANARY.to_string());
        support::program::run(
            Command::new(support::program::program()).env_clear().envs(variables).arg("check"),
            b"",
        )
    };
    let holds = check(&fleet.postgres.url("replica"));
    assert!(holds.code == 0 && holds.stdout.contains("signed in by password"), "{}", holds.printed());
    let fails = check(&fleet.postgres.url("nobody"));
    assert!(fails.code == 1 && fails.stdout.contains("MAILSHIM_FLEET_PASSWORD"), "{}", fails.printed());
}
