//! Jobs on several threads, results in order.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Jobs in flight per thread: enough to keep every thread busy while one result is awaited.
const JOBS_PER_THREAD: usize = 3;

struct State<R> {
    next: usize,
    consumed: usize,
    stopped: bool,
    finished: BTreeMap<usize, R>,
}

/// Runs `work` on every job and `consume` on every result, in the order of the jobs, on the
/// calling thread. The first error of `consume` ends it all.
pub(super) fn run_ordered<J: Sync, R: Send, E>(
    threads: usize,
    jobs: &[J],
    work: impl Fn(&J) -> R + Sync,
    mut consume: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    if threads <= 1 || jobs.len() <= 1 {
        return jobs.iter().try_for_each(|job| consume(work(job)));
    }
    let threads = threads.min(jobs.len());
    let ahead = threads * JOBS_PER_THREAD;
    let state = Mutex::new(State {
        next: 0,
        consumed: 0,
        stopped: false,
        finished: BTreeMap::new(),
    });
    let changed = Condvar::new();
    let worker = || {
        let _stop = StopOnPanic(&state, &changed);
        loop {
            let mut guard = lock(&state);
            while !guard.stopped && guard.next < jobs.len() && guard.next >= guard.consumed + ahead
            {
                guard = wait(&changed, guard);
            }
            let index = guard.next;
            if guard.stopped || index >= jobs.len() {
                return;
            }
            guard.next += 1;
            drop(guard);
            let result = work(&jobs[index]);
            lock(&state).finished.insert(index, result);
            changed.notify_all();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(worker);
        }
        let outcome = (0..jobs.len()).try_for_each(|index| {
            let mut guard = lock(&state);
            let result = loop {
                if let Some(result) = guard.finished.remove(&index) {
                    break result;
                }
                if guard.stopped {
                    // A worker panicked; leaving the scope hands its panic on.
                    return Ok(());
                }
                guard = wait(&changed, guard);
            };
            guard.consumed = index + 1;
            drop(guard);
            changed.notify_all();
            consume(result)
        });
        lock(&state).stopped = true;
        changed.notify_all();
        outcome
    })
}

/// Wakes everyone where a worker dies, so that nobody waits for its result for ever.
struct StopOnPanic<'a, R>(&'a Mutex<State<R>>, &'a Condvar);

impl<R> Drop for StopOnPanic<'_, R> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            lock(self.0).stopped = true;
            self.1.notify_all();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condvar.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_from_any_number_of_threads() {
        let jobs: Vec<u64> = (0..500).collect();
        for threads in [0, 1, 2, 7] {
            let mut seen = Vec::new();
            let done: Result<(), ()> = run_ordered(
                threads,
                &jobs,
                |job| job * 3,
                |result| {
                    seen.push(result);
                    Ok(())
                },
            );
            assert_eq!(done, Ok(()));
            assert_eq!(seen, jobs.iter().map(|j| j * 3).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_ends_it() {
        let jobs: Vec<u32> = (0..1000).collect();
        let outcome = run_ordered(
            4,
            &jobs,
            |job| *job,
            |result| if result == 5 { Err(result) } else { Ok(()) },
        );
        assert_eq!(outcome, Err(5));
    }

    #[test]
    #[should_panic]
    fn a_panic_of_a_worker_is_handed_on() {
        let jobs = [1, 2, 3, 4];
        let _ = run_ordered(2, &jobs, |job| assert!(*job != 2), |()| Ok::<(), ()>(()));
    }
}
