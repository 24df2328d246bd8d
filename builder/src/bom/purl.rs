//! Package URLs, the names by which programs look up what is known of a package.
//!
//! <https://github.com/package-url/purl-spec>

use super::PinnedCrate;
use nos_specs::lock::LockedPackage;

/// The package URL of a Debian package.
pub(super) fn debian(name: &str, pin: &LockedPackage) -> String {
    format!(
        "pkg:deb/debian/{}@{}?arch={}&distro={}",
        encoded(name),
        encoded(&pin.version),
        encoded(&pin.architecture),
        // `trixie-security` holds packages of the distribution trixie.
        encoded(pin.suite.split('-').next().unwrap_or_default()),
    )
}

/// The package URL of a crate.
pub(super) fn cargo(pinned: &PinnedCrate) -> String {
    let url = format!(
        "pkg:cargo/{}@{}",
        encoded(&pinned.name),
        encoded(&pinned.version)
    );
    if let Some((repository, commit)) = &pinned.commit {
        let vcs = format!("git+{repository}@{commit}");
        return format!("{url}?vcs_url={}", encoded(&vcs));
    }
    match &pinned.registry {
        Some(registry) => {
            let (_, address) = registry.split_once('+').unwrap_or(("", registry));
            format!("{url}?repository_url={}", encoded(address))
        }
        None => url,
    }
}

/// The package URL of a container image in a registry, by the digest of its manifest or index.
pub(super) fn container(url: &str, sha256: &str) -> String {
    let place = url.split_once("://").map_or(url, |(_, place)| place);
    let name = place.rsplit('/').next().unwrap_or_default();
    format!(
        "pkg:oci/{}@sha256%3A{sha256}?repository_url={}",
        encoded(&name.to_lowercase()),
        encoded(place)
    )
}

/// Percent-encodes all but the characters that the specification lets stand.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
