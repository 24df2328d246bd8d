//! Names that are like another.

/// Most names offered.
const OFFERED: usize = 3;

/// Up to three of `names` that a person may have meant by `wanted`, best first.
pub(super) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let allowed = (wanted.chars().count() / 3).max(1);
    let mut scored: Vec<(usize, &str)> = names
        .filter_map(|name| {
            let part = !wanted.is_empty() && (name.contains(wanted) || wanted.contains(name));
            let distance = distance(wanted, name, allowed);
            // A name within another is a good guess however much longer the other is.
            let score = distance.or((part && name.len() > 2).then_some(allowed + 1))?;
            Some((score, name))
        })
        .collect();
    scored.sort_unstable();
    scored.dedup();
    scored
        .into_iter()
        .take(OFFERED)
        .map(|(_, name)| name.to_owned())
        .collect()
}

/// Edits (insert, delete, replace, swap of neighbours) from `a` to `b`, if not over `allowed`.
fn distance(a: &str, b: &str, allowed: usize) -> Option<usize> {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > allowed {
        return None;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (above[j - 1] + same).min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().filter(|&d| d <= allowed)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_and_parts_are_found() {
        let names = ["virtio_blk", "virtio_net", "nvme", "nvme_core", "e1000e"];
        let near = |wanted: &str| nearest(wanted, names.into_iter());
        assert_eq!(near("virtio_bkl"), ["virtio_blk", "virtio_net"]);
        assert_eq!(near("nvmee"), ["nvme"]);
        assert_eq!(near("e1000"), ["e1000e"]);
        assert!(near("zzzzzz").is_empty());
    }
}
