//! Names that are like another.

use nos_specs::suggest::distance;

/// Most names offered.
const OFFERED: usize = 3;

/// Up to three of `names` that a person may have meant by `wanted`, best first.
pub(super) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let allowed = (wanted.chars().count() / 3).max(1);
    let mut scored: Vec<(usize, &str)> = names
        .filter_map(|name| {
            let part = !wanted.is_empty() && (name.contains(wanted) || wanted.contains(name));
            let distance = Some(distance(wanted, name)).filter(|&d| d <= allowed);
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
