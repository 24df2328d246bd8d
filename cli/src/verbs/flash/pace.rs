//! How fast a device is written, and how long it still takes.

use crate::shell::Shell;
use crate::units::human_size;
use nos_disk::Progress;
use nos_disk::flash::Flashed;
use serde::Serialize;
use std::time::Instant;

/// Seconds that a phase must have taken before its rate means anything.
const SETTLED: f64 = 0.5;

/// The time that each part of the work took, in seconds.
#[derive(Default, Serialize)]
pub(super) struct Pace {
    /// Writing, clearing and flushing.
    write_seconds: f64,
    read_back_seconds: f64,
    /// When something was told last: what is told next took from then on.
    #[serde(skip)]
    told: Option<Instant>,
}

impl Pace {
    /// Shows how far it is, at what rate, and how much time is left.
    pub(super) fn show(&mut self, shell: &Shell, at: &Progress) {
        let now = Instant::now();
        let passed = now - self.told.replace(now).unwrap_or(now);
        let spent = match at.doing {
            "write" | "clear" | "flush" => &mut self.write_seconds,
            "read back" => &mut self.read_back_seconds,
            _ => return shell.progress(at.doing, at.done, Some(at.total)),
        };
        *spent += passed.as_secs_f64();
        if at.total == 0 {
            return;
        }
        let pace = (*spent >= SETTLED && at.done > 0).then(|| {
            let rate = at.done as f64 / *spent;
            let left = at.total.saturating_sub(at.done) as f64 / rate;
            format!(
                "{}/s, {} left",
                human_size(rate as u64),
                human_seconds(left)
            )
        });
        shell.progress_at(
            &format!("{} {}", at.doing, at.what),
            at.done,
            at.total,
            pace,
        );
    }

    /// What was written, read back, and how fast.
    pub(super) fn told(&self, flashed: &Flashed) -> String {
        let rate = |bytes: u64, seconds: f64| match seconds {
            s if s < 0.001 => String::new(),
            s => format!(" ({}/s)", human_size((bytes as f64 / s) as u64)),
        };
        let (written, verified) = (flashed.report.bytes_written, flashed.bytes_verified);
        format!(
            "{} written in {:.1} s{}, {} read back in {:.1} s{}",
            human_size(written),
            self.write_seconds,
            rate(written, self.write_seconds),
            human_size(verified),
            self.read_back_seconds,
            rate(verified, self.read_back_seconds),
        )
    }
}

/// Seconds as a person says them.
fn human_seconds(seconds: f64) -> String {
    match seconds.round() as u64 {
        s if s < 60 => format!("{s} s"),
        s if s < 3600 => format!("{}:{:02} min", s / 60, s % 60),
        s => format!("{}:{:02} h", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_two_units_at_most() {
        let said: Vec<_> = [0.4, 59.4, 61.0, 3599.0, 3600.0, 86400.0]
            .map(human_seconds)
            .into();
        assert_eq!(
            said,
            ["0 s", "59 s", "1:01 min", "59:59 min", "1:00 h", "24:00 h"]
        );
    }
}
