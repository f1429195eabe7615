//! The long form, by `MAILSHIM_FLEET_MINUTES=5`: 20 replicas, killed and scaled, against the real limits.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use office365::Settings;
use support::program::Program;

use super::{Fleet, try_send};

const REPLICAS: usize = 20;
/// Apps of each.
const APPS: usize = 3;

#[test]
fn twenty_replicas_killed_and_scaled_keep_the_limits() {
    let minutes = std::env::var("MAILSHIM_FLEET_MINUTES").ok().and_then(|text| text.parse::<u64>().ok());
    let Some(minutes) = minutes else { return };
    let limits = Settings { max_connections: Some(3), messages_per_minute: Some(30), ..Settings::default() };
    let Some(fleet) = Fleet::start(limits) else { return };
    let (begun, all) = (Instant::now(), Duration::from_secs(60 * minutes));
    let running: Vec<Mutex<Option<Program>>> = (0..REPLICAS).map(|_| Mutex::new(None)).collect();
    let accepted: Vec<AtomicUsize> = (0..REPLICAS).map(|_| AtomicUsize::new(0)).collect();
    let over = Arc::new(AtomicBool::new(false));
    let mut refusals = Vec::new();
    let mut kills = 0;
    std::thread::scope(|scope| {
        for place in 0..REPLICAS {
            for _ in 0..APPS {
                let (running, accepted, over) = (&running, &accepted, Arc::clone(&over));
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        let address = running[place].lock().unwrap().as_ref().map(|replica| replica.address);
                        let reply = address.filter(|address| {
                            std::net::TcpStream::connect_timeout(address, Duration::from_secs(1)).is_ok()
                        });
                        match reply
                            .and_then(|address| std::panic::catch_unwind(|| try_send(address)).ok().flatten())
                        {
                            Some(reply) if reply.code == 250 => {
                                accepted[place].fetch_add(1, Ordering::Relaxed);
                            }
                            _ => std::thread::sleep(Duration::from_secs(1)),
                        }
                    }
                });
            }
        }
        let mut next_kill = Duration::from_secs(40);
        while begun.elapsed() < all {
            // 1, then all, then 3.
            let part = begun.elapsed().as_secs_f64() / all.as_secs_f64();
            let wanted = if part < 0.1 {
                1
            } else if part < 0.75 {
                REPLICAS
            } else {
                3
            };
            for (place, replica) in running.iter().enumerate() {
                let is_there = replica.lock().unwrap().is_some();
                if place < wanted && !is_there {
                    let started = fleet.replica(&[("MAILSHIM_HOLD", "45s")]);
                    *replica.lock().unwrap() = Some(started);
                } else if place >= wanted && is_there {
                    let gone = replica.lock().unwrap().take();
                    gone.inspect(|gone| gone.signal("TERM")).map(|mut gone| gone.wait());
                }
            }
            if wanted == REPLICAS && begun.elapsed() > next_kill {
                next_kill = begun.elapsed() + Duration::from_secs(15);
                let victim = running[kills % REPLICAS].lock().unwrap().take();
                kills += usize::from(victim.is_some());
                let log = victim.map(|victim| {
                    let log = victim.printed();
                    victim.kill();
                    log
                });
                refusals.extend(log);
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        over.store(true, Ordering::Relaxed);
        for replica in &running {
            if let Some(replica) = replica.lock().unwrap().take() {
                refusals.push(replica.printed());
                replica.kill();
            }
        }
    });
    let mails = fleet.office365.taken_count();
    let most = fleet.most_in_a_minute();
    let counts: Vec<usize> = accepted.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    println!(
        "{minutes} minutes, {kills} kills: {mails} mails, {most} in the fullest minute; by replica {counts:?}"
    );
    for log in &refusals {
        assert!(!log.contains("432 4.3.2") && !log.contains("421 4.4.2"), "{log}");
    }
    assert!(most <= 28, "{most}");
}
