//! How long to wait before a service is started again.

/// First wait, in milliseconds.
pub const FIRST_MS: u64 = 100;
/// Longest wait, in milliseconds.
pub const LONGEST_MS: u64 = 30_000;
/// A service that has run this long, in milliseconds, begins with the first wait again.
pub const STABLE_MS: u64 = 60_000;

/// The waits of one service: each twice the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after a run of `ran_ms`.
    pub fn next_ms(&mut self, ran_ms: u64) -> u64 {
        if ran_ms >= STABLE_MS {
            self.failures = 0;
        }
        let wait = FIRST_MS << self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        wait.min(LONGEST_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..11).map(|_| backoff.next_ms(0)).collect();
        assert_eq!(
            waits,
            [
                100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000
            ]
        );
        backoff.failures = u32::MAX;
        assert_eq!(backoff.next_ms(0), LONGEST_MS);
    }

    #[test]
    fn a_long_run_forgives() {
        let mut backoff = Backoff::default();
        backoff.next_ms(0);
        backoff.next_ms(0);
        assert_eq!(backoff.next_ms(STABLE_MS - 1), 400);
        assert_eq!(backoff.next_ms(STABLE_MS), 100);
    }
}
