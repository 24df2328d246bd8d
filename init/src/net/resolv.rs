//! The two name files that every service sees: `/etc/resolv.conf` and `/etc/hosts`.

use alloc::format;
use alloc::string::String;
use core::fmt::Display;

/// Most name servers that C libraries look at.
const MAX_SERVERS: usize = 3;

/// The content of `resolv.conf`.
pub fn resolv_conf<D: Display>(servers: &[D], domain: Option<&str>) -> String {
    let mut text = String::new();
    if let Some(domain) = domain {
        text.push_str(&format!("search {domain}\n"));
    }
    for server in servers.iter().take(MAX_SERVERS) {
        text.push_str(&format!("nameserver {server}\n"));
    }
    text
}

/// The content of `hosts`.
pub fn hosts(host: &str) -> String {
    format!("127.0.0.1 localhost {host}\n::1 localhost {host}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_three_servers_are_named() {
        let text = resolv_conf(&["a", "b", "c", "d"], Some("example.org"));
        assert_eq!(
            text,
            "search example.org\nnameserver a\nnameserver b\nnameserver c\n"
        );
        assert_eq!(resolv_conf::<&str>(&[], None), "");
    }
}
