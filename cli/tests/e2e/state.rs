//! State outlives reboots, new generations and rollbacks.

use crate::common::Example;
use crate::common::machine::Machine;
use crate::common::program::{Nos, at};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A connection to redis.
struct Redis(BufReader<TcpStream>);

impl Redis {
    /// Connects, and waits until redis has read what it kept: it listens before that.
    fn of(machine: &Machine) -> Self {
        let stream = TcpStream::connect(machine.address(6379)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(300)))
            .unwrap();
        let mut redis = Self(BufReader::new(stream));
        while redis.ask(&["PING"]).starts_with("-LOADING") {}
        redis
    }

    /// Sends a command; gives a simple answer, or the bulk string that it announces.
    fn ask(&mut self, words: &[&str]) -> String {
        let mut command = format!("*{}\r\n", words.len());
        for word in words {
            command.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.0.get_mut().write_all(command.as_bytes()).unwrap();
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let line = line.trim_end().to_string();
        let Some(length) = line.strip_prefix('$').and_then(|n| n.parse::<usize>().ok()) else {
            return line;
        };
        let mut bulk = vec![0; length + 2];
        self.0.read_exact(&mut bulk).unwrap();
        String::from_utf8(bulk).unwrap().trim_end().to_string()
    }
}

#[test]
fn redis_remembers_across_reboots_and_generations() {
    let cache = Example::copy("cache");
    let disk = cache.image("cache.img");
    let machine = Machine::boot(&cache, Some(&disk));
    assert_eq!(Redis::of(&machine).ask(&["SET", "first", "1"]), "+OK");
    machine.stop();

    // The same generation again: what it kept is there.
    let machine = Machine::boot(&cache, Some(&disk));
    assert_eq!(Redis::of(&machine).ask(&["GET", "first"]), "1");
    machine.stop();

    let mut configuration = cache.read("redis.conf");
    configuration.extend(b"proc-title-template \"the second\"\n");
    cache.write("redis.conf", configuration);
    let report = Nos::new(["install", &cache.spec(), &disk, "--locked", "--offline"]).json();
    assert_eq!(at(&report, "/number"), 2);
    let machine = Machine::boot(&cache, Some(&disk));
    assert_eq!(Redis::of(&machine).ask(&["GET", "first"]), "1");
    assert_eq!(Redis::of(&machine).ask(&["SET", "second", "2"]), "+OK");
    machine.stop();

    // The generation goes back, what the services wrote does not; and the disk becomes larger.
    Nos::new(["rollback", &disk]).succeeds();
    let file = OpenOptions::new().write(true).open(&disk).unwrap();
    file.set_len(file.metadata().unwrap().len() + (64 << 20))
        .unwrap();
    Nos::new(["grow", &disk, "--state", "all"]).succeeds();
    let machine = Machine::boot(&cache, Some(&disk));
    machine.wait_for("state has grown from ");
    assert_eq!(Redis::of(&machine).ask(&["GET", "first"]), "1");
    assert_eq!(Redis::of(&machine).ask(&["GET", "second"]), "2");
    machine.stop();
    Nos::new(["verify", &disk]).succeeds();
}
