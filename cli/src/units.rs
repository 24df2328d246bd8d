//! Sizes, times and port pairs, as people write them on a command line; paths, as they are shown.

use serde::Serializer;
use std::path::Path;
use std::time::Duration;

/// Reads a size: a whole number with `KiB`, `MiB`, `GiB`, `TiB` or `B`.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let scale: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err("write a whole number with a unit, such as 512MiB or 2GiB".into()),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "the number is missing or too large")?;
    number
        .checked_mul(scale)
        .ok_or_else(|| "the size is too large".into())
}

/// Reads a time: a whole number with `s`, `min` or `h`.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let seconds: u32 = match unit {
        "s" => 1,
        "min" => 60,
        "h" => 3600,
        _ => return Err("write a whole number with a unit, such as 30s or 5min".into()),
    };
    let number: u32 = number
        .parse()
        .map_err(|_| "the number is missing or too large")?;
    Ok(Duration::from_secs(u64::from(number) * u64::from(seconds)))
}

/// Reads how large a state partition is to become.
pub(crate) fn parse_state_size(text: &str) -> Result<nos_disk::StateSize, String> {
    match text {
        "all" => Ok(nos_disk::StateSize::All),
        _ => parse_size(text).map(nos_disk::StateSize::Bytes),
    }
}

/// Reads a sector size that disks have.
pub(crate) fn parse_sector_size(text: &str) -> Result<u32, String> {
    match text {
        "512" => Ok(512),
        "4096" => Ok(4096),
        _ => Err("a sector has 512 or 4096 bytes".into()),
    }
}

/// Reads `HOST:GUEST`.
pub(crate) fn parse_forward(text: &str) -> Result<(u16, u16), String> {
    let wrong = || "write HOST:GUEST, such as 8080:80".to_string();
    let (host, guest) = text.split_once(':').ok_or_else(wrong)?;
    let host = host.parse().map_err(|_| wrong())?;
    match guest.parse() {
        Ok(0) | Err(_) => Err(wrong()),
        Ok(guest) => Ok((host, guest)),
    }
}

/// Longest label of a generation, in bytes: what a boot entry has room for.
const MAX_LABEL_BYTES: usize = 100;

/// Reads a generation's label.
pub(crate) fn parse_label(text: &str) -> Result<String, String> {
    match text {
        _ if text.len() > MAX_LABEL_BYTES => {
            Err(format!("a label has at most {MAX_LABEL_BYTES} bytes"))
        }
        _ if text.contains(char::is_control) => Err("a label is one line of plain text".into()),
        _ => Ok(text.to_string()),
    }
}

/// Text that others may have written, with what a terminal would take for a command as `?`.
pub(crate) fn printable(text: &str) -> String {
    text.replace(char::is_control, "?")
}

/// A size for people: three significant digits with a binary unit.
pub(crate) fn human_size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return match unit {
                "B" => format!("{bytes} B"),
                _ if value < 10.0 => format!("{value:.2} {unit}"),
                _ if value < 100.0 => format!("{value:.1} {unit}"),
                _ => format!("{value:.0} {unit}"),
            };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// A number of things: `1 image`, `2 images`.
pub(crate) fn counted(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        number => format!("{number} {thing}s"),
    }
}

/// A span of time for people: its two largest units, down to whole seconds.
pub(crate) fn human_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// A time for people: date and minute in UTC. Seconds since 1970.
pub(crate) fn human_time(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days to civil date, after Howard Hinnant's `civil_from_days`; eras of 400 years.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}",
        rest / 3600,
        rest / 60 % 60
    )
}

/// Serialises a path as it is shown: what is not UTF-8 in it is replaced.
pub(crate) fn shown<S: Serializer>(
    path: &impl AsRef<Path>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.as_ref().display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_need_a_unit_and_do_not_overflow() {
        assert_eq!(parse_size("64MiB"), Ok(64 << 20));
        assert_eq!(parse_size("0B"), Ok(0));
        for wrong in [
            "64",
            "MiB",
            "1.5GiB",
            "64 MiB",
            "64MB",
            "99999999999999TiB",
            "",
        ] {
            assert!(parse_size(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn forwards_name_two_ports() {
        assert_eq!(parse_forward("0:80"), Ok((0, 80)));
        for wrong in ["80", "80:0", "a:b", "70000:80", ":80"] {
            assert!(parse_forward(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn sizes_read_well() {
        let all = [0, 1023, 1024, 1536, 20 << 20, 186 << 20, 3 << 40].map(human_size);
        assert_eq!(
            all,
            [
                "0 B", "1023 B", "1.00 KiB", "1.50 KiB", "20.0 MiB", "186 MiB", "3.0 TiB"
            ]
        );
    }

    #[test]
    fn spans_of_time_read_well() {
        let all = [0, 59, 60, 3599, 3600, 90_061].map(Duration::from_secs);
        assert_eq!(
            all.map(human_duration),
            [
                "0 s",
                "59 s",
                "1 min 0 s",
                "59 min 59 s",
                "1 h 0 min",
                "25 h 1 min"
            ]
        );
    }

    #[test]
    fn times_are_civil_and_utc() {
        let all = [0, 951_782_399, 951_782_400, 1_795_153_445].map(human_time);
        assert_eq!(
            all,
            [
                "1970-01-01 00:00",
                "2000-02-28 23:59",
                "2000-02-29 00:00",
                "2026-11-20 05:44"
            ]
        );
    }
}
