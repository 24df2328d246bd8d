//! How long actions took, remembered in the store as a hint: it orders work and estimates the
//! time left, and can be lost at any time.

use nos_store::Store;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// Name of the hint in the store.
const HINT: &str = "times";

/// Actions remembered. Labels carry versions, so the list would grow for ever.
const MAX_ENTRIES: usize = 4096;

/// Times remembered of one action. Their median is what is expected: one build on a busy machine
/// does not change it.
const MAX_TIMES: usize = 5;

/// Milliseconds by an action's label, the newest last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Times {
    known: BTreeMap<String, Vec<u64>>,
    /// What the store was not told yet.
    new: Vec<(String, u64)>,
}

impl Times {
    /// What the store remembers; nothing where it does not, or not in this form.
    pub(crate) fn load(store: &Store) -> Self {
        let bytes = store.hint(HINT).ok().flatten().unwrap_or_default();
        let text = String::from_utf8(bytes).unwrap_or_default();
        let lines = text.lines().filter_map(|line| {
            let (times, label) = line.split_once(' ')?;
            let times: Result<Vec<u64>, _> = times.split(',').map(str::parse).collect();
            let times = times.ok().filter(|times| times.len() <= MAX_TIMES)?;
            Some((label.to_string(), times))
        });
        Self {
            known: lines.take(MAX_ENTRIES).collect(),
            new: Vec::new(),
        }
    }

    /// Remembers what was noted for the builds to come, beside what others have remembered
    /// meanwhile. A store that cannot keep it is no reason for a build to fail.
    pub(crate) fn save(&mut self, store: &Store) {
        if self.new.is_empty() {
            return;
        }
        let mut all = Self::load(store);
        for (label, ms) in self.new.drain(..) {
            all.add(&label, ms);
        }
        self.known = all.known;
        let mut text = String::new();
        for (label, times) in &self.known {
            let times: Vec<String> = times.iter().map(u64::to_string).collect();
            let _ = writeln!(text, "{} {label}", times.join(","));
        }
        let _ = store.put_hint(HINT, text.as_bytes());
    }

    /// How long an action takes.
    pub(crate) fn get(&self, label: &str) -> Option<Duration> {
        let mut times = self.known.get(label)?.clone();
        times.sort_unstable();
        times
            .get(times.len() / 2)
            .copied()
            .map(Duration::from_millis)
    }

    /// Notes a time.
    pub(crate) fn note(&mut self, label: &str, elapsed: Duration) {
        let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        if !label.contains('\n') {
            self.new.push((label.to_string(), ms));
            self.add(label, ms);
        }
    }

    /// Where there is no room, what takes the shortest is forgotten: it tells least.
    fn add(&mut self, label: &str, ms: u64) {
        let times = self.known.entry(label.to_string()).or_default();
        times.push(ms);
        if times.len() > MAX_TIMES {
            times.remove(0);
        }
        if self.known.len() > MAX_ENTRIES {
            let shortest = self.known.iter().min_by_key(|(_, times)| times.last());
            if let Some(label) = shortest.map(|(label, _)| label.clone()) {
                self.known.remove(&label);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn times_are_kept_and_damage_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        let mut times = Times::load(&store);
        assert_eq!(times, Times::default());
        times.note("image web", ms(1234));
        times.save(&store);
        assert_eq!(Times::load(&store), times);
        let huge = vec![b'7'; 2 << 20];
        for foreign in [&b"x y\n12 image a\n\xff"[..], &huge, b"{\"image a\": 12}"] {
            // The store keeps no hint that is too large; another program may have left one.
            let path = store.root().join("cache/hint-times");
            std::fs::write(path, foreign).unwrap();
            assert_eq!(Times::load(&store), Times::default());
        }
        let lines = b"x y\n12 image a\n-1 b\n1,,2 c\n1,2,3,4,5,6 d\n99999999999999999999 e\n f\n";
        store.put_hint(HINT, lines).unwrap();
        let mut read = Times::load(&store);
        assert_eq!(read.get("image a"), Some(ms(12)));
        for label in ["y", "b", "c", "d", "e", "f"] {
            assert_eq!(read.get(label), None);
        }
        read.note("image a", ms(14));
        read.save(&store);
        let kept = store.hint(HINT).unwrap();
        assert_eq!(kept.as_deref(), Some(&b"12,14 image a\n"[..]));
    }

    #[test]
    fn the_middle_of_the_last_times_is_expected() {
        let mut times = Times::default();
        for (noted, expected) in [
            (40, 40),
            (9000, 9000),
            (50, 50),
            (60, 60),
            (45, 50),
            (70, 60),
        ] {
            times.note("a", ms(noted));
            assert_eq!(times.get("a"), Some(ms(expected)));
        }
    }

    #[test]
    fn what_others_remember_meanwhile_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        let [mut one, mut two] = [(); 2].map(|()| Times::load(&store));
        one.note("a", ms(1));
        two.note("b", ms(2));
        one.save(&store);
        two.save(&store);
        two.note("a", ms(3));
        two.save(&store);
        two.save(&store);
        let kept = store.hint(HINT).unwrap();
        assert_eq!(kept.as_deref(), Some(&b"1,3 a\n2 b\n"[..]));
    }

    #[test]
    fn the_list_stays_short() {
        let mut times = Times::default();
        for n in 0..=MAX_ENTRIES as u64 {
            times.note(&format!("action {n}"), ms(n));
        }
        assert_eq!(times.known.len(), MAX_ENTRIES);
        assert_eq!(times.get("action 0"), None);
    }
}
