//! Whether a precompressed file beside the original is complete. One that is being written must not be sent.
//!
//! | coding | what is read |
//! | --- | --- |
//! | gzip | the magic number, and the length of the content in the last four bytes (RFC 1952 §2.3.1) |
//! | Zstandard | the headers of all frames and blocks, to the end of the file (RFC 8878 §3.1) |
//! | Brotli | all of it, by decoding, since it has neither a length nor an end mark (RFC 7932) |
//!
//! The content must be as long as the original, so that one made of another version is not sent either.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use zc_http::Coding;

use crate::files::facts::CodedContent;
use crate::files::file_state::{FileState, NS_PER_SECOND, Stability, coarse_now_ns};
use crate::files::open_file::{OpenFile, OpenMode, ResolveError};

/// The longest Brotli file that is decoded, in bytes: that takes half a second.
const DECODED_BYTES_MAX: u64 = 16 << 20;
/// A longer one counts as complete when it was not written to for so long, in nanoseconds. The slowest
/// setting of `brotli` collects 16 MiB of content between two writes.
const STILL_NS: i128 = 60 * NS_PER_SECOND;
/// Buffer of the decoder, in bytes.
const BUFFER_BYTES: usize = 64 << 10;

/// Whether `sidecar` is complete, and made of the present content of `original`.
///
/// # Errors
///
/// [`ResolveError::WouldBlock`] when it has to be read first, with [`OpenMode::CachedOnly`].
pub(crate) fn is_ready(
    sidecar: &OpenFile,
    original: &OpenFile,
    coding: Coding,
    open_mode: OpenMode,
) -> Result<bool, ResolveError> {
    if !sidecar.state.is_as_new_as(&original.state) || sidecar.stability == Stability::Written {
        return Ok(false);
    }
    if coding == Coding::Brotli && sidecar.state.length > DECODED_BYTES_MAX {
        return Ok(is_still(&sidecar.state, &original.state));
    }
    let memo = sidecar.mount.codings();
    let content = match memo.get(&sidecar.state) {
        Some(content) => content,
        None if open_mode == OpenMode::CachedOnly => return Err(ResolveError::WouldBlock),
        None => {
            let file = sidecar.file.file();
            let content = examine(file, coding, sidecar.state.length).unwrap_or(CodedContent::Cut);
            // It changed while it was read.
            if FileState::from_file(file).ok() != Some(sidecar.state) {
                return Ok(false);
            }
            if sidecar.stability == Stability::Settled {
                memo.remember(&sidecar.state, content);
            }
            content
        }
    };
    Ok(content.may_have_length(original.state.length))
}

/// Whether nothing writes to it any more: compressors give it the time of the original at the end.
fn is_still(sidecar: &FileState, original: &FileState) -> bool {
    sidecar.has_time_of(original) || coarse_now_ns() - sidecar.mtime_ns >= STILL_NS
}

/// What a file of `length` bytes contains.
fn examine(file: &File, coding: Coding, length: u64) -> io::Result<CodedContent> {
    match coding {
        Coding::Identity => Ok(CodedContent::WholeOf(length)),
        Coding::Gzip => gzip(file, length),
        Coding::Zstd => zstd(file, length),
        Coding::Brotli => Ok(brotli(file)),
    }
}

fn gzip(file: &File, length: u64) -> io::Result<CodedContent> {
    /// Header and trailer.
    const BYTES_MIN: u64 = 10 + 8;
    if length < BYTES_MIN || read_at::<2>(file, 0)? != [0x1f, 0x8b] {
        return Ok(CodedContent::Cut);
    }
    let content_length = u32::from_le_bytes(read_at(file, length - 4)?);
    Ok(CodedContent::WholeOfLower(content_length))
}

/// Reads the headers of all frames.
fn zstd(file: &File, length: u64) -> io::Result<CodedContent> {
    let mut at = 0;
    let mut content = Some(0);
    while at < length {
        let magic = u32::from_le_bytes(read_at(file, at)?);
        match magic {
            0xfd2f_b528 => {
                let frame = zstd_frame(file, at + 4)?;
                let Some(end) = frame.end else {
                    return Ok(CodedContent::Cut);
                };
                content = content.zip(frame.content).map(|(sum, more)| sum + more);
                at = end;
            }
            // A skippable frame (RFC 8878 §3.1.2).
            0x184d_2a50..=0x184d_2a5f => {
                at += 8 + u64::from(u32::from_le_bytes(read_at(file, at + 4)?));
            }
            _ => return Ok(CodedContent::Cut),
        }
    }
    Ok(match content {
        _ if at != length || length == 0 => CodedContent::Cut,
        Some(bytes) => CodedContent::WholeOf(bytes),
        None => CodedContent::Whole,
    })
}

struct ZstdFrame {
    /// Where it ends; `None` if it has a block of a reserved type.
    end: Option<u64>,
    /// The length of its content, if its header has it.
    content: Option<u64>,
}

/// The frame whose magic number ends at `at` (RFC 8878 §3.1.1).
fn zstd_frame(file: &File, mut at: u64) -> io::Result<ZstdFrame> {
    let [descriptor] = read_at(file, at)?;
    let is_single_segment = descriptor & 0x20 != 0;
    let has_checksum = descriptor & 0x04 != 0;
    at += 1 + u64::from(!is_single_segment);
    at += [0, 1, 2, 4][usize::from(descriptor & 0x03)];
    let content = match descriptor >> 6 {
        0 if is_single_segment => Some(u64::from(read_at::<1>(file, at)?[0])),
        0 => None,
        1 => Some(u64::from(u16::from_le_bytes(read_at(file, at)?)) + 256),
        2 => Some(u64::from(u32::from_le_bytes(read_at(file, at)?))),
        _ => Some(u64::from_le_bytes(read_at(file, at)?)),
    };
    at += match descriptor >> 6 {
        0 => u64::from(is_single_segment),
        1 => 2,
        2 => 4,
        _ => 8,
    };
    loop {
        let [low, middle, high] = read_at(file, at)?;
        let header = u32::from_le_bytes([low, middle, high, 0]);
        let size = u64::from(header >> 3);
        at += 3 + match header >> 1 & 0x03 {
            // One byte that stands for `size` of them.
            1 => 1,
            0 | 2 => size,
            _ => return Ok(ZstdFrame { end: None, content }),
        };
        if header & 1 != 0 {
            let end = Some(at + if has_checksum { 4 } else { 0 });
            return Ok(ZstdFrame { end, content });
        }
    }
}

fn brotli(file: &File) -> CodedContent {
    let source = PositionedRead { file, offset: 0 };
    let mut decoder = brotli_decompressor::Decompressor::new(source, BUFFER_BYTES);
    match io::copy(&mut decoder, &mut io::sink()) {
        Ok(bytes) => CodedContent::WholeOf(bytes),
        Err(_) => CodedContent::Cut,
    }
}

/// Reads a file from an offset of its own: the file position is shared.
struct PositionedRead<'f> {
    file: &'f File,
    offset: u64,
}

impl Read for PositionedRead<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

fn read_at<const N: usize>(file: &File, offset: u64) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}
