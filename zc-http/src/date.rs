//! Dates in fields.

use std::fmt::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httpdate::HttpDate;

/// A time in whole seconds from 1970 to the end of 9999, the range of an HTTP date
/// ([RFC 9110 §5.6.7](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7)).
///
/// ```
/// use zc_http::HttpTime;
///
/// let time = HttpTime::from_unix_seconds(784_111_777);
/// assert_eq!(&time.imf_fixdate(), b"Sun, 06 Nov 1994 08:49:37 GMT");
/// assert_eq!(HttpTime::parse(b"Sunday, 06-Nov-94 08:49:37 GMT"), Some(time));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpTime {
    /// Invariant: at most `UNIX_SECONDS_MAX`.
    unix_seconds: u64,
}

/// 9999-12-31 23:59:59.
const UNIX_SECONDS_MAX: u64 = 253_402_300_799;

/// The length of an IMF-fixdate.
const DATE_BYTES: usize = 29;

impl HttpTime {
    /// The time `seconds` after 1970, clamped to the years 1970 to 9999.
    pub const fn from_unix_seconds(seconds: i64) -> Self {
        let seconds = if seconds < 0 {
            0
        } else {
            seconds.unsigned_abs()
        };
        Self {
            unix_seconds: if seconds > UNIX_SECONDS_MAX {
                UNIX_SECONDS_MAX
            } else {
                seconds
            },
        }
    }

    /// Seconds after 1970.
    pub const fn unix_seconds(self) -> u64 {
        self.unix_seconds
    }

    /// Parses a field value in any of the three formats a server must read: IMF-fixdate,
    /// RFC 850 (two-digit years mean 1970 to 2069) and asctime. `None` for anything else, wrong
    /// weekdays, impossible days and white space around a date included.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        // The library underneath takes white space around a date, line feeds included.
        if text.trim() != text || !has_space_before_time(text) {
            return None;
        }
        httpdate::parse_http_date(text).ok().map(Self::from)
    }

    /// The time as an IMF-fixdate, the one format that is sent.
    pub fn imf_fixdate(self) -> [u8; DATE_BYTES] {
        let mut out = [b' '; DATE_BYTES];
        self.write_imf_fixdate(&mut out);
        out
    }

    /// Writes the time over `out` as an IMF-fixdate, without allocating.
    pub fn write_imf_fixdate(self, out: &mut [u8; DATE_BYTES]) {
        let mut unwritten = Unwritten(out);
        // The date has exactly the length of `out`, so nothing is cut off.
        let _ = write!(unwritten, "{self}");
    }
}

impl From<SystemTime> for HttpTime {
    /// Rounds down to a whole second, and clamps as [`HttpTime::from_unix_seconds`] does.
    fn from(time: SystemTime) -> Self {
        let seconds = match time.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            Err(_) => 0,
        };
        Self::from_unix_seconds(seconds)
    }
}

impl From<HttpTime> for SystemTime {
    fn from(time: HttpTime) -> Self {
        UNIX_EPOCH + Duration::from_secs(time.unix_seconds)
    }
}

impl fmt::Display for HttpTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HttpDate::from(SystemTime::from(*self)).fmt(f)
    }
}

/// Whether a space stands before the time of a date that ends in `GMT`. The library underneath takes
/// any byte there in the format of RFC 850.
fn has_space_before_time(text: &str) -> bool {
    let Some(local) = text.strip_suffix(" GMT") else {
        return true;
    };
    local.bytes().rev().nth("hh:mm:ss".len()) == Some(b' ')
}

/// The part of a buffer that formatted text still has to fill.
struct Unwritten<'a>(&'a mut [u8]);

impl Write for Unwritten<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let (target, rest) = std::mem::take(&mut self.0)
            .split_at_mut_checked(text.len())
            .ok_or(fmt::Error)?;
        target.copy_from_slice(text.as_bytes());
        self.0 = rest;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_formats_are_read_and_one_is_written() {
        let time = HttpTime::from_unix_seconds(784_111_777);
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(HttpTime::parse(text.as_bytes()), Some(time), "{text}");
        }
        assert_eq!(time.to_string(), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&time.imf_fixdate(), time.to_string().as_bytes());
        assert_eq!(time.unix_seconds(), 784_111_777);
    }

    #[test]
    fn anything_else_is_no_date() {
        for text in [
            "",
            "now",
            "1994-11-06T08:49:37Z",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Thu, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "S\u{fc}n, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(HttpTime::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(HttpTime::parse(b"Sun, 06 Nov 1994 08:49:37 GM\xFF"), None);
    }

    /// Found by fuzzing: the date was read as though the white space were not there.
    #[test]
    fn white_space_is_no_part_of_a_date() {
        for text in [
            " Sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT\r\n",
            "\tSunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994\x0C",
        ] {
            assert_eq!(HttpTime::parse(text.as_bytes()), None, "{text:?}");
        }
    }

    /// Found by fuzzing: in the format of RFC 850 any byte was taken for the space.
    #[test]
    fn a_space_stands_between_day_and_time() {
        for text in [
            "Friday, 31-Dec-99?23:59:59 GMT",
            "Friday, 31-Dec-99023:59:59 GMT",
            "Friday, 31-Dec-99\t23:59:59 GMT",
            "Fri, 31 Dec 1999-23:59:59 GMT",
            "23:59:59 GMT",
            " GMT",
        ] {
            assert_eq!(HttpTime::parse(text.as_bytes()), None, "{text:?}");
        }
        assert!(HttpTime::parse(b"Friday, 31-Dec-99 23:59:59 GMT").is_some());
    }

    #[test]
    fn times_outside_the_range_are_moved_to_its_ends() {
        let first = "Thu, 01 Jan 1970 00:00:00 GMT";
        let last = "Fri, 31 Dec 9999 23:59:59 GMT";
        assert_eq!(HttpTime::from_unix_seconds(i64::MIN).to_string(), first);
        assert_eq!(HttpTime::from_unix_seconds(i64::MAX).to_string(), last);
        let before = UNIX_EPOCH - Duration::from_millis(1);
        assert_eq!(HttpTime::from(before).to_string(), first);
        let after = UNIX_EPOCH + Duration::from_secs(UNIX_SECONDS_MAX + 1);
        assert_eq!(HttpTime::from(after).to_string(), last);
        let fraction = UNIX_EPOCH + Duration::from_millis(1999);
        assert_eq!(HttpTime::from(fraction), HttpTime::from_unix_seconds(1));
    }
}
