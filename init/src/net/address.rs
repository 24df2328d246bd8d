//! Fixed addresses: reading `192.0.2.7/24` and `fd00::7/64`.

use core::net::IpAddr;

/// Reads an address with its prefix length; `None` where either makes no sense.
pub fn parse_address(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let prefix: u8 = prefix.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    (prefix <= longest).then_some((address, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_fit_their_family() {
        assert_eq!(
            parse_address("192.0.2.7/24"),
            Some(("192.0.2.7".parse().unwrap(), 24))
        );
        assert_eq!(
            parse_address("fd00::7/64"),
            Some(("fd00::7".parse().unwrap(), 64))
        );
        for wrong in [
            "192.0.2.7",
            "192.0.2.7/33",
            "fd00::/129",
            "x/24",
            "192.0.2.7/",
            "/24",
        ] {
            assert_eq!(parse_address(wrong), None, "{wrong}");
        }
    }
}
