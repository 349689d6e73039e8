//! The fields of a request, in a table of fixed size.

use std::fmt;

use crate::ParseError;
use crate::grammar::{is_ows, list_pieces, trim_ows};

/// How many fields a request may have; one more is answered with 431.
///
/// Browsers send about twenty. The table for this many takes 800 bytes of stack.
pub const FIELDS_MAX: usize = 100;

/// The field lines of a request, borrowed from the bytes they were received in.
///
/// Names are compared without regard to case
/// ([RFC 9110 §5.1](https://www.rfc-editor.org/rfc/rfc9110#section-5.1)); values have lost the
/// white space around them and are otherwise as sent.
#[derive(Clone)]
pub struct Headers<'buf> {
    head: &'buf [u8],
    fields: [Field; FIELDS_MAX],
    /// Invariant: at most `FIELDS_MAX`.
    len: usize,
    /// A bit for each name that is present. Most lookups are of absent names, and end at this test.
    names: u64,
}

/// Where one field line lies in the head. 16 bits hold every offset, since a head has at most
/// 65535 bytes.
#[derive(Clone, Copy)]
struct Field {
    name_start: u16,
    name_bytes: u16,
    value_start: u16,
    value_bytes: u16,
}

impl<'buf> Headers<'buf> {
    /// The value of the first field called `name`.
    #[inline]
    pub fn get(&self, name: &str) -> Option<&'buf [u8]> {
        self.get_all(name).next()
    }

    /// The values of all fields called `name`, in the order received.
    #[inline]
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'buf [u8]> + 'a {
        let fields = if self.names & bit_of(name.as_bytes()) == 0 {
            &[]
        } else {
            self.fields()
        };
        fields
            .iter()
            .filter(move |field| self.name_matches(field, name.as_bytes()))
            .map(|field| self.value(field))
    }

    /// Names and values of all fields, in the order received.
    pub fn iter(&self) -> impl Iterator<Item = (&'buf [u8], &'buf [u8])> + '_ {
        self.fields()
            .iter()
            .map(|field| (self.name(field), self.value(field)))
    }

    /// How many fields there are; repeated names count each time.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no fields at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether `token` is an element of the comma-separated list that all fields called `name`
    /// make up together ([RFC 9110 §5.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.1)),
    /// without regard to case.
    ///
    /// For lists of plain tokens, like `Connection`; commas in quoted strings are not honoured.
    pub fn list_contains(&self, name: &str, token: &str) -> bool {
        self.get_all(name)
            .flat_map(list_pieces)
            .any(|piece| piece.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// No fields yet, of the head that `head` starts.
    #[inline]
    pub(crate) fn new(head: &'buf [u8]) -> Self {
        Self {
            head,
            fields: [Field::NONE; FIELDS_MAX],
            len: 0,
            names: 0,
        }
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.len == FIELDS_MAX
    }

    /// Adds the field whose name starts at `name_start` and has `name_bytes`, and whose value,
    /// white space included, starts at `value_start` and ends before `value_end`.
    #[inline]
    pub(crate) fn push(
        &mut self,
        name_start: usize,
        name_bytes: usize,
        value_start: usize,
        value_end: usize,
    ) -> Result<(), ParseError> {
        let raw = self.head.get(value_start..value_end).unwrap_or_default();
        let leading = raw.iter().take_while(|&&byte| is_ows(byte)).count();
        let value = trim_ows(raw);
        let offset = |bytes: usize| u16::try_from(bytes).map_err(|_| ParseError::HeadTooLong);
        let field = Field {
            name_start: offset(name_start)?,
            name_bytes: offset(name_bytes)?,
            value_start: offset(value_start + leading)?,
            value_bytes: offset(value.len())?,
        };
        let slot = self
            .fields
            .get_mut(self.len)
            .ok_or(ParseError::TooManyFields)?;
        *slot = field;
        self.len += 1;
        self.names |= bit_of(self.name(&field));
        Ok(())
    }

    #[inline]
    fn fields(&self) -> &[Field] {
        self.fields.get(..self.len).unwrap_or_default()
    }

    #[inline]
    fn name_matches(&self, field: &Field, name: &[u8]) -> bool {
        // The length settles most comparisons without a look at the head.
        usize::from(field.name_bytes) == name.len() && self.name(field).eq_ignore_ascii_case(name)
    }

    #[inline]
    fn name(&self, field: &Field) -> &'buf [u8] {
        self.slice(field.name_start, field.name_bytes)
    }

    #[inline]
    fn value(&self, field: &Field) -> &'buf [u8] {
        self.slice(field.value_start, field.value_bytes)
    }

    #[inline]
    fn slice(&self, start: u16, bytes: u16) -> &'buf [u8] {
        let start = usize::from(start);
        self.head
            .get(start..start + usize::from(bytes))
            .unwrap_or_default()
    }
}

/// One of 64 bits for a name, the same in upper and lower case.
#[inline]
fn bit_of(name: &[u8]) -> u64 {
    // A letter differs from its other case in one bit, which is masked here.
    let first = name.first().map_or(0, |&byte| usize::from(byte & 0x1F));
    1 << ((first + 5 * name.len()) % 64)
}

impl Field {
    const NONE: Self = Self {
        name_start: 0,
        name_bytes: 0,
        value_start: 0,
        value_bytes: 0,
    };
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(
                self.iter()
                    .map(|(name, value)| (name.escape_ascii(), value.escape_ascii())),
            )
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(head: &str) -> Headers<'_> {
        let mut headers = Headers::new(head.as_bytes());
        let mut start = 0;
        for line in head.split_inclusive("\r\n") {
            let colon = line.find(':').unwrap();
            let end = start + line.len() - 2;
            headers.push(start, colon, start + colon + 1, end).unwrap();
            start += line.len();
        }
        headers
    }

    #[test]
    fn names_are_found_whatever_their_case() {
        let headers = headers("Host: a\r\nACCEPT:b\r\naccept: c \t\r\nEmpty: \t \r\n");
        assert_eq!(headers.get("host"), Some(&b"a"[..]));
        assert_eq!(headers.get("Accept"), Some(&b"b"[..]));
        assert_eq!(headers.get("empty"), Some(&b""[..]));
        assert_eq!(headers.get("hos"), None);
        let all: Vec<_> = headers.get_all("accept").collect();
        assert_eq!(all, [b"b", b"c"]);
        assert_eq!(headers.len(), 4);
        assert!(!headers.is_empty());
        assert_eq!(headers.iter().last(), Some((&b"Empty"[..], &b""[..])));
    }

    #[test]
    fn lists_run_over_all_fields_of_a_name() {
        let headers = headers("Connection: a ,,B\r\nconnection:\tclose\r\n");
        assert!(headers.list_contains("connection", "CLOSE"));
        assert!(headers.list_contains("connection", "b"));
        assert!(!headers.list_contains("connection", "clos"));
        assert!(!headers.list_contains("x", "close"));
    }

    #[test]
    fn the_table_refuses_one_field_too_many() {
        let head = "a:\r\n".repeat(FIELDS_MAX);
        let mut headers = headers(&head);
        assert!(headers.is_full());
        assert_eq!(headers.push(0, 1, 2, 2), Err(ParseError::TooManyFields));
    }
}
