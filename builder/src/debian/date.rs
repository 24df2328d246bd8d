//! The one date format of `Release` files, and the one that lock files use.
//!
//! Times are seconds since 1970-01-01 00:00 UTC.

/// Latest time accepted: the end of the year 9999.
const MAX_SECONDS: i64 = 253_402_300_799;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Reads `Sat, 12 Sep 2026 07:55:41 UTC` (RFC 5322 in the form Debian's archive writes; the zone
/// may be `UTC`, `GMT`, `Z` or `+0000`). `None` for anything else.
pub(crate) fn parse_release(text: &str) -> Option<i64> {
    let (weekday, rest) = text.split_once(", ")?;
    if !DAYS.contains(&weekday) {
        return None;
    }
    let mut words = rest.split_ascii_whitespace();
    let day: i64 = number(words.next()?, 1..=2)?;
    let month = words.next()?;
    let month = 1 + i64::try_from(MONTHS.iter().position(|m| *m == month)?).ok()?;
    let year = number(words.next()?, 4..=4)?;
    let mut clock = words.next()?.splitn(3, ':');
    let hour = number(clock.next()?, 1..=2)?;
    let minute = number(clock.next()?, 2..=2)?;
    let second = number(clock.next()?, 2..=2)?;
    let zone = words.next()?;
    if !["UTC", "GMT", "Z", "+0000"].contains(&zone) || words.next().is_some() {
        return None;
    }
    seconds(year, month, day, hour, minute, second)
}

/// Reads `2026-09-12T07:55:41Z` (RFC 3339 in UTC, whole seconds). `None` for anything else.
pub(crate) fn parse_rfc3339(text: &str) -> Option<i64> {
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-');
    let mut clock = clock.splitn(3, ':');
    let year = number(date.next()?, 4..=4)?;
    let month = number(date.next()?, 2..=2)?;
    let day = number(date.next()?, 2..=2)?;
    let hour = number(clock.next()?, 2..=2)?;
    let minute = number(clock.next()?, 2..=2)?;
    let second = number(clock.next()?, 2..=2)?;
    seconds(year, month, day, hour, minute, second)
}

/// Writes `2026-09-12T07:55:41Z`. Times outside the years 0–9999 are clamped.
pub(crate) fn rfc3339(seconds: i64) -> String {
    let seconds = seconds.clamp(-62_167_219_200, MAX_SECONDS);
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn number(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<i64> {
    let fits = digits.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

fn seconds(year: i64, month: i64, day: i64, hour: i64, minute: i64, second: i64) -> Option<i64> {
    let in_range = (1..=12).contains(&month) && hour < 24 && minute < 60 && second <= 60;
    let days = days_from_civil(year, month, day);
    // A day that the month does not have comes back as another one.
    if !in_range || civil(days) != (year, month, day) {
        return None;
    }
    Some(days * 86_400 + hour * 3600 + minute * 60 + second.min(59))
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar. Years are counted from
/// March, so that the leap day is the last day of a year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`]: year, month, day.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_dates() {
        let cases = [
            ("Thu, 01 Jan 1970 00:00:00 UTC", 0),
            ("Tue, 29 Feb 2000 23:59:59 UTC", 951_868_799),
            ("Sat, 12 Sep 2026 07:55:41 UTC", 1_789_199_741),
            ("Sat,  2 Sep 2006 07:55:41 +0000", 1_157_183_741),
        ];
        for (text, want) in cases {
            assert_eq!(parse_release(text), Some(want), "{text}");
        }
        assert_eq!(rfc3339(1_789_199_741), "2026-09-12T07:55:41Z");
    }

    #[test]
    fn what_is_not_a_date_is_refused() {
        for text in [
            "",
            "Sat, 12 Sep 2026 07:55:41",
            "Sat, 12 Sep 2026 07:55:41 CET",
            "Sat, 12 Sep 2026 07:55:41 UTC trailing",
            "12 Sep 2026 07:55:41 UTC",
            "Sat, 31 Feb 2026 07:55:41 UTC",
            "Sat, 12 Sep 2026 24:55:41 UTC",
            "Sat, 12 Sep 20260 07:55:41 UTC",
            "Sat, -1 Sep 2026 07:55:41 UTC",
        ] {
            assert_eq!(parse_release(text), None, "{text}");
        }
        for text in [
            "2026-09-12",
            "2026-13-12T07:55:41Z",
            "2026-09-12T07:55:41+01:00",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn rfc3339_round_trips(seconds in 0..=MAX_SECONDS) {
            prop_assert_eq!(parse_rfc3339(&rfc3339(seconds)), Some(seconds));
        }
    }
}
