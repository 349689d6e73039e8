//! A page in the content coding gzip, made while it is sent.

use std::fmt;

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Status};

/// The memory of one stream, in bytes: about 268 KiB with the window and tables of `deflateInit2` by default.
pub(super) const MEMORY_BYTES: usize = 320 << 10;
/// How much effort is made, from 1 to 9.
const LEVEL: i32 = 5;
/// A window of 32 KiB, and 16 for the framing of gzip ([RFC 1952](https://www.rfc-editor.org/rfc/rfc1952)).
const WINDOW_BITS: i32 = 15 + 16;
/// The step in which the output grows, in bytes.
const STEP_BYTES: usize = 16 << 10;

/// A stream that is written piece by piece.
pub(super) struct Gzip(Deflate);

impl Gzip {
    pub(super) fn new() -> Self {
        Self(Deflate::new_with_config(DeflateConfig {
            level: LEVEL,
            window_bits: WINDOW_BITS,
            ..DeflateConfig::default()
        }))
    }

    /// Appends `plain` to the stream, and to `out` what that gives. All of it stands there if it is to be
    /// flushed, and the end of the stream if it is the last piece.
    pub(super) fn write(
        &mut self,
        plain: &[u8],
        out: &mut Vec<u8>,
        is_flushed: bool,
        is_last: bool,
    ) {
        let flush = match (is_last, is_flushed) {
            (true, _) => DeflateFlush::Finish,
            (false, true) => DeflateFlush::SyncFlush,
            (false, false) => DeflateFlush::NoFlush,
        };
        let mut rest = plain;
        loop {
            let start = out.len();
            out.resize(start + STEP_BYTES, 0);
            let (read, written) = (self.0.total_in(), self.0.total_out());
            let room = out.get_mut(start..).unwrap_or_default();
            let status = self.0.compress(rest, room, flush);
            let written = (self.0.total_out() - written) as usize;
            out.truncate(start + written);
            rest = rest
                .get((self.0.total_in() - read) as usize..)
                .unwrap_or_default();
            let is_done = match status {
                Ok(Status::StreamEnd) | Err(_) => true,
                // Room was left, so that nothing is held back but what need not be written yet.
                Ok(_) => rest.is_empty() && written < STEP_BYTES,
            };
            if is_done {
                return;
            }
        }
    }
}

impl fmt::Debug for Gzip {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Gzip({} bytes written)", self.0.total_out())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};

    use super::*;

    /// What gzip(1) makes of it.
    fn unpacked(packed: &[u8]) -> Vec<u8> {
        let mut gzip = Command::new("gzip");
        gzip.arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = gzip.spawn().expect("gzip starts");
        let (mut input, packed) = (child.stdin.take().expect("piped"), packed.to_vec());
        let writer = std::thread::spawn(move || input.write_all(&packed));
        let mut plain = Vec::new();
        let mut output = child.stdout.take().expect("piped");
        output.read_to_end(&mut plain).expect("an end");
        writer.join().expect("a thread").expect("it is read");
        assert!(child.wait().expect("it ends").success());
        plain
    }

    #[test]
    fn pieces_of_any_size_are_one_stream() {
        let text: Vec<u8> = (0..200_000u32)
            .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        for piece_bytes in [1_000, 33_000, 900_000] {
            let (mut gzip, mut packed) = (Gzip::new(), Vec::new());
            let pieces = text.chunks(piece_bytes);
            let last = pieces.len() - 1;
            for (index, piece) in pieces.enumerate() {
                gzip.write(piece, &mut packed, index == 0, index == last);
            }
            assert!(unpacked(&packed) == text, "{piece_bytes}");
        }
        let (mut gzip, mut packed) = (Gzip::new(), Vec::new());
        gzip.write(b"", &mut packed, true, true);
        assert_eq!(unpacked(&packed), b"");
    }

    #[test]
    fn a_piece_that_is_flushed_can_be_read_before_the_next() {
        let (mut gzip, mut packed) = (Gzip::new(), Vec::new());
        gzip.write(b"<title>first</title>", &mut packed, true, false);
        let mut plain = [0; 100];
        let mut inflate = zlib_rs::Inflate::new(false, 15);
        // The head of a gzip stream without a name has 10 bytes.
        let read = inflate.decompress(&packed[10..], &mut plain, zlib_rs::InflateFlush::NoFlush);
        assert!(read.is_ok());
        assert_eq!(
            &plain[..inflate.total_out() as usize],
            b"<title>first</title>"
        );
    }
}
