//! Dates: the input is a field value, and its first eight bytes are a time.
//!
//! A value that is read as a time is one of the ways to write that time, and each way to write a
//! time is read as that time. The twin counts years and months one by one.

use std::time::SystemTime;

use zc_http::HttpTime;

use super::escaped;

/// 9999-12-31 23:59:59.
const LAST: u64 = 253_402_300_799;
const DAY: u64 = 24 * 60 * 60;

/// Checks `data` as a value, and as a time.
pub(crate) fn check(data: &[u8]) {
    if let Some(time) = HttpTime::parse(data) {
        let ways = ways(time.unix_seconds());
        let text = escaped(data);
        assert!(ways.iter().any(|way| way.as_bytes() == data), "{text}");
        check_time(time);
    }
    if let Some(number) = data.first_chunk::<8>() {
        let seconds = i64::from_le_bytes(*number);
        let time = HttpTime::from_unix_seconds(seconds);
        let expected = u64::try_from(seconds).unwrap_or(0).min(LAST);
        assert_eq!(time.unix_seconds(), expected, "{seconds}");
        // Most numbers lie beyond the ends, so what is left of each is tried too.
        check_time(time);
        let within = seconds.rem_euclid(LAST as i64 + 1);
        check_time(HttpTime::from_unix_seconds(within));
    }
}

fn check_time(time: HttpTime) {
    let seconds = time.unix_seconds();
    assert!(seconds <= LAST, "{seconds}");
    let ways = ways(seconds);
    for way in &ways {
        assert_eq!(HttpTime::parse(way.as_bytes()), Some(time), "{way}");
    }
    assert_eq!(time.to_string(), ways[0], "{seconds}");
    assert_eq!(&time.imf_fixdate()[..], ways[0].as_bytes(), "{seconds}");
    assert_eq!(HttpTime::from(SystemTime::from(time)), time, "{seconds}");
    if let Some(before) = seconds.checked_sub(1) {
        let before = HttpTime::from_unix_seconds(before as i64);
        assert!(before < time, "{seconds}");
    }
}

/// Every way to write a time, IMF-fixdate first, by RFC 9110 §5.6.7.
fn ways(seconds: u64) -> Vec<String> {
    const WEEKDAYS: [&str; 7] = [
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
        "Monday",
        "Tuesday",
        "Wednesday",
    ];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (year, month, day) = calendar(seconds / DAY);
    let weekday = WEEKDAYS[(seconds / DAY % 7) as usize];
    let short = &weekday[..3];
    let month = MONTHS[month];
    let second = seconds % DAY;
    let time = format!(
        "{:02}:{:02}:{:02}",
        second / 3600,
        second / 60 % 60,
        second % 60
    );
    let mut ways = vec![
        format!("{short}, {day:02} {month} {year:04} {time} GMT"),
        format!("{short} {month} {day:2} {time} {year:04}"),
        format!("{short} {month} {day:02} {time} {year:04}"),
    ];
    if (1970..2070).contains(&year) {
        let year = year % 100;
        ways.push(format!("{weekday}, {day:02}-{month}-{year:02} {time} GMT"));
    }
    ways
}

/// The year, the month from 0 and the day from 1, so many days after 1970 began.
fn calendar(mut days: u64) -> (u64, usize, u64) {
    // The calendar repeats itself after 400 years.
    let mut year = 1970 + days / 146_097 * 400;
    days %= 146_097;
    let divides = |by: u64, year: u64| year.is_multiple_of(by);
    let is_leap = |year| divides(4, year) && (!divides(100, year) || divides(400, year));
    loop {
        let year_days = if is_leap(year) { 366 } else { 365 };
        if days < year_days {
            break;
        }
        days -= year_days;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    for (month, month_days) in months.into_iter().enumerate() {
        if days < month_days {
            return (year, month, days + 1);
        }
        days -= month_days;
    }
    unreachable!("the months of a year are its days")
}
