//! Moments in words, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A moment by the calendar.
struct Moment {
    year: u64,
    /// From 1.
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    microsecond: u32,
}

/// As RFC 3339 has it, to the microsecond.
pub(super) fn rfc3339(time: SystemTime) -> String {
    let Moment { year, month, day, hour, minute, second, microsecond } = moment(time);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{microsecond:06}Z")
}

/// As the common log format has it.
pub(super) fn common_time(time: SystemTime) -> String {
    let Moment { year, month, day, hour, minute, second, .. } = moment(time);
    let month = MONTHS.get(month as usize - 1).unwrap_or(&"Jan");
    format!("{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000")
}

/// What the clock shows; moments before 1970 are its beginning.
fn moment(time: SystemTime) -> Moment {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Years begin in March here, so that the day that some years have more is the last one.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    Moment {
        year: era * 400 + year_of_era + u64::from(month <= 2),
        month,
        day,
        hour: seconds / 3600,
        minute: seconds / 60 % 60,
        second: seconds % 60,
        microsecond: since.subsec_micros(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Each day is the one after the day before, for 400 years, as the calendar counts them.
    #[test]
    fn days_follow_each_other() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for number in 0..146_097_u64 {
            let found = moment(UNIX_EPOCH + Duration::from_secs(number * 86_400 + 3661));
            assert_eq!((found.year, found.month, found.day), (year, month, day));
            assert_eq!((found.hour, found.minute, found.second), (1, 1, 1));
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = match month {
                2 => 28 + u64::from(is_leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > last {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }

    #[test]
    fn moments_are_written_as_their_formats_say() {
        let time = UNIX_EPOCH + Duration::new(951_782_400 + 5, 7000);
        assert_eq!(rfc3339(time), "2000-02-29T00:00:05.000007Z");
        assert_eq!(common_time(time), "29/Feb/2000:00:00:05 +0000");
    }
}
