//! "Did you mean": the nearest of some names.

/// The one of `candidates` that `word` is most probably a misspelling of, if any is near enough:
/// at most a third of the letters wrong. Of equally near ones the first in order of the alphabet.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count().max(3) / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| *candidate != word)
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= limit || is_part(word, candidate))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Whether one is the other's beginning and long enough to tell (`env` for `environment`).
fn is_part(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    short.chars().count() >= 3 && long.starts_with(short)
}

/// Number of letters to insert, delete, replace or swap with their neighbour to get from `a` to
/// `b` (optimal string alignment). Words longer than 64 letters count as unlike.
pub fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 64;
    if a.len() > LONGEST || b.len() > LONGEST {
        return usize::MAX;
    }
    let a: Vec<char> = a.to_lowercase().chars().collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replace.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["packages", "files", "listen", "health", "environment"];
        assert_eq!(nearest("package", names), Some("packages"));
        assert_eq!(nearest("lisetn", names), Some("listen"));
        assert_eq!(nearest("env", names), Some("environment"));
        assert_eq!(nearest("kernel", names), None);
        assert_eq!(nearest("", names), None);
    }
}
