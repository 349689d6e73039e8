//! The thumbnail in a JPEG picture, as cameras put it there: it is found, and nothing is decoded.
//!
//! A JPEG file begins with segments, of which APP1 has Exif ([Exif 2.32 §4.5.2](https://www.cipa.jp/std/documents/e/DC-X008-Translation-2019-E.pdf)): a TIFF
//! file of its own ([TIFF 6.0 §2](https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf)), whose first directory describes the picture, and whose second one the thumbnail.

use std::io;
use std::os::unix::fs::FileExt;

/// The most bytes that are read of a file: a segment of 64 KiB, and room for what stands before it.
const HEAD_BYTES: usize = 68 << 10;

const START_OF_IMAGE: [u8; 2] = [0xFF, 0xD8];
const START_OF_SCAN: u8 = 0xDA;
const APP1: u8 = 0xE1;
const EXIF: &[u8] = b"Exif\0\0";

const ORIENTATION: u16 = 0x0112;
const JPEG_INTERCHANGE_FORMAT: u16 = 0x0201;
const JPEG_INTERCHANGE_FORMAT_LENGTH: u16 = 0x0202;
/// Types of values: 2 and 4 bytes.
const SHORT: u16 = 3;
const LONG: u16 = 4;
/// The orientation of a picture that is stored as it is to be shown.
const UPRIGHT: u32 = 1;

/// The thumbnail of a JPEG file, as a JPEG file; `None` if it has none. It is turned as the picture is: the
/// thumbnail itself does not say how.
///
/// # Errors
///
/// Those of reading.
pub(crate) fn thumbnail(file: &impl FileExt) -> io::Result<Option<Vec<u8>>> {
    let mut head = vec![0; HEAD_BYTES];
    let mut count = 0;
    while count < head.len() {
        match file.read_at(&mut head[count..], count as u64) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(thumbnail_in(&head[..count]))
}

fn thumbnail_in(head: &[u8]) -> Option<Vec<u8>> {
    let tiff = Tiff::new(exif(head)?)?;
    let (first, second) = tiff.directory(tiff.long(4)?)?;
    let (second, _) = tiff.directory(second)?;
    let start = usize::try_from(tiff.value(second, JPEG_INTERCHANGE_FORMAT, LONG)?).ok()?;
    let length = tiff.value(second, JPEG_INTERCHANGE_FORMAT_LENGTH, LONG)?;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    let rest = tiff.bytes.get(start..end)?.strip_prefix(&START_OF_IMAGE)?;
    // A marker of a segment follows.
    rest.starts_with(&[0xFF]).then_some(())?;
    let orientation = tiff.value(first, ORIENTATION, SHORT).unwrap_or(UPRIGHT);
    let mut picture = START_OF_IMAGE.to_vec();
    if let 2..=8 = orientation {
        picture.extend_from_slice(&orientation_segment(orientation as u8));
    }
    picture.extend_from_slice(rest);
    Some(picture)
}

/// What the segment APP1 has behind the name of Exif.
fn exif(head: &[u8]) -> Option<&[u8]> {
    let mut rest = head.strip_prefix(&START_OF_IMAGE)?;
    loop {
        let &[0xFF, marker, high, low, ref behind @ ..] = rest else {
            return None;
        };
        // The length counts itself.
        let length = usize::from(u16::from_be_bytes([high, low])).checked_sub(2)?;
        let (content, next) = behind.split_at_checked(length)?;
        match marker {
            APP1 if content.starts_with(EXIF) => return content.strip_prefix(EXIF),
            START_OF_SCAN => return None,
            _ => rest = next,
        }
    }
}

/// A segment APP1 that tells the orientation alone.
fn orientation_segment(orientation: u8) -> [u8; 36] {
    let mut segment =
        *b"\xFF\xE1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\0\0\0\0\0\0\0\0";
    segment[28] = orientation;
    segment
}

/// A TIFF file in the order of bytes that it names.
struct Tiff<'a> {
    bytes: &'a [u8],
    is_big_endian: bool,
}

impl<'a> Tiff<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let is_big_endian = match bytes.get(..4)? {
            b"II*\0" => false,
            b"MM\0*" => true,
            _ => return None,
        };
        Some(Self {
            bytes,
            is_big_endian,
        })
    }

    /// The entries of the directory at `offset`, 12 bytes each, and where the next one is.
    fn directory(&self, offset: u32) -> Option<(&'a [u8], u32)> {
        let start = usize::try_from(offset).ok()?.checked_add(2)?;
        let count = usize::from(self.short(start - 2)?);
        let end = start.checked_add(12 * count)?;
        Some((self.bytes.get(start..end)?, self.long(end)?))
    }

    /// The one value that a directory has for a tag.
    fn value(&self, directory: &'a [u8], tag: u16, kind: u16) -> Option<u32> {
        let entries = directory
            .chunks_exact(12)
            .map(|bytes| Self { bytes, ..*self });
        let mut entries = { entries }.filter(|entry| entry.short(0) == Some(tag));
        let entry = entries.next()?;
        let is_one = entry.short(2) == Some(kind) && entry.long(4) == Some(1);
        match kind {
            _ if !is_one => None,
            SHORT => entry.short(8).map(u32::from),
            _ => entry.long(8),
        }
    }

    fn short(&self, at: usize) -> Option<u16> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(match self.is_big_endian {
            true => u16::from_be_bytes(bytes),
            false => u16::from_le_bytes(bytes),
        })
    }

    fn long(&self, at: usize) -> Option<u32> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(match self.is_big_endian {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The head of a picture with a thumbnail, by the book.
    fn picture(is_big_endian: bool, orientation: Option<u16>, thumbnail: &[u8]) -> Vec<u8> {
        let short = |value: u16| match is_big_endian {
            true => value.to_be_bytes(),
            false => value.to_le_bytes(),
        };
        let long = |value: u32| match is_big_endian {
            true => value.to_be_bytes(),
            false => value.to_le_bytes(),
        };
        let mut tiff = if is_big_endian { b"MM\0*" } else { b"II*\0" }.to_vec();
        tiff.extend(long(8));
        tiff.extend(short(u16::from(orientation.is_some())));
        if let Some(orientation) = orientation {
            tiff.extend([short(ORIENTATION), short(SHORT)].concat());
            tiff.extend(long(1));
            tiff.extend([short(orientation), short(0)].concat());
        }
        tiff.extend(long(tiff.len() as u32 + 4));
        tiff.extend(short(2));
        let start = tiff.len() as u32 + 24 + 4;
        for (tag, value) in [
            (JPEG_INTERCHANGE_FORMAT, start),
            (JPEG_INTERCHANGE_FORMAT_LENGTH, thumbnail.len() as u32),
        ] {
            tiff.extend([short(tag), short(LONG)].concat());
            tiff.extend([long(1), long(value)].concat());
        }
        tiff.extend(long(0));
        tiff.extend(thumbnail);
        let mut file = b"\xFF\xD8\xFF\xE0\0\x04ab".to_vec();
        file.extend([0xFF, APP1]);
        file.extend((tiff.len() as u16 + 8).to_be_bytes());
        file.extend(EXIF);
        file.extend(tiff);
        file.extend(b"\xFF\xDA\0\x02 the picture \xFF\xD9");
        file
    }

    const THUMBNAIL: &[u8] = b"\xFF\xD8\xFF\xDB small \xFF\xD9";

    #[test]
    fn a_thumbnail_is_found_and_keeps_its_orientation() {
        for is_big_endian in [false, true] {
            for orientation in [None, Some(1), Some(0), Some(9)] {
                let found = thumbnail_in(&picture(is_big_endian, orientation, THUMBNAIL));
                assert_eq!(found.as_deref(), Some(THUMBNAIL), "{orientation:?}");
            }
            for orientation in 2..=8 {
                let file = picture(is_big_endian, Some(orientation), THUMBNAIL);
                let found = thumbnail_in(&file).expect("a thumbnail");
                assert_eq!(found.len(), THUMBNAIL.len() + 36);
                // The segment that was put in is one of Exif, with that value.
                let tiff = Tiff::new(exif(&found).expect("Exif")).expect("TIFF");
                let (first, next) = tiff.directory(8).expect("a directory");
                let told = tiff.value(first, ORIENTATION, SHORT);
                assert_eq!((told, next), (Some(u32::from(orientation)), 0));
                assert!(found.ends_with(&THUMBNAIL[2..]));
            }
        }
    }

    #[test]
    fn what_is_cut_anywhere_has_no_thumbnail() {
        let file = picture(false, Some(6), THUMBNAIL);
        let whole = file.len() - b"\xFF\xDA\0\x02 the picture \xFF\xD9".len();
        for end in 0..whole {
            assert_eq!(thumbnail_in(&file[..end]), None, "{end}");
        }
        assert_eq!(thumbnail_in(b"\xFF\xD8\xFF\xDA\0\x02"), None);
        assert_eq!(thumbnail_in(&picture(true, None, b"no JPEG")), None);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut state = 1_u64;
        let mut random = move || {
            // SplitMix64.
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            (mixed ^ (mixed >> 27)) as usize
        };
        for round in 0..20_000 {
            let mut file = picture(round % 2 == 0, Some(6), THUMBNAIL);
            for _ in 0..1 + random() % 6 {
                let at = random() % file.len();
                file[at] = [0, 1, 0x7F, 0xFF, random() as u8][random() % 5];
            }
            file.truncate(random() % (file.len() + 1) + file.len() / 2);
            if let Some(found) = thumbnail_in(&file) {
                assert!(found.len() <= file.len() + 36);
            }
        }
    }
}
