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

/// Milliseconds by an action's label.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Times(BTreeMap<String, u64>);

impl Times {
    /// What the store remembers; nothing where it does not, or not in this form.
    pub(crate) fn load(store: &Store) -> Self {
        let bytes = store.hint(HINT).ok().flatten().unwrap_or_default();
        let text = String::from_utf8(bytes).unwrap_or_default();
        let lines = text.lines().filter_map(|line| {
            let (ms, label) = line.split_once(' ')?;
            Some((label.to_string(), ms.parse().ok()?))
        });
        Self(lines.take(MAX_ENTRIES).collect())
    }

    /// Remembers these times for the builds to come. A store that cannot keep them is no reason
    /// for a build to fail.
    pub(crate) fn save(&self, store: &Store) {
        let mut text = String::new();
        for (label, ms) in &self.0 {
            let _ = writeln!(text, "{ms} {label}");
        }
        let _ = store.put_hint(HINT, text.as_bytes());
    }

    /// The last time of an action.
    pub(crate) fn get(&self, label: &str) -> Option<Duration> {
        self.0.get(label).copied().map(Duration::from_millis)
    }

    /// Notes a time. Where there is no room, the shortest is forgotten: it tells least.
    pub(crate) fn note(&mut self, label: &str, elapsed: Duration) {
        let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        if !label.contains('\n') {
            self.0.insert(label.to_string(), ms);
        }
        if self.0.len() > MAX_ENTRIES {
            let shortest = self.0.iter().min_by_key(|(_, ms)| **ms);
            if let Some(label) = shortest.map(|(label, _)| label.clone()) {
                self.0.remove(&label);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_kept_and_damage_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        let mut times = Times::load(&store);
        assert_eq!(times, Times::default());
        times.note("image web", Duration::from_millis(1234));
        times.save(&store);
        assert_eq!(Times::load(&store), times);
        store.put_hint(HINT, b"x y\n12 image a\n\xff").unwrap();
        assert_eq!(Times::load(&store), Times::default());
        store.put_hint(HINT, b"x y\n12 image a\n").unwrap();
        let read = Times::load(&store);
        assert_eq!(read.get("image a"), Some(Duration::from_millis(12)));
        assert_eq!(read.get("y"), None);
    }

    #[test]
    fn the_list_stays_short() {
        let mut times = Times::default();
        for n in 0..=MAX_ENTRIES as u64 {
            times.note(&format!("action {n}"), Duration::from_millis(n));
        }
        assert_eq!(times.0.len(), MAX_ENTRIES);
        assert_eq!(times.get("action 0"), None);
    }
}
