//! Files in content codings, whole and valid, that hold their content as it is: for tests in which
//! the size of a sidecar or its bytes matter, and for which no program is needed.

/// The longest piece of each format.
const PIECE_BYTES: usize = 65_535;

/// The pieces of a content, of which an empty one has one, and whether each is the last.
fn pieces(content: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
    let count = content.len().div_ceil(PIECE_BYTES).max(1);
    (0..count).map(move |index| {
        let rest = &content[index * PIECE_BYTES..];
        (&rest[..rest.len().min(PIECE_BYTES)], index + 1 == count)
    })
}

/// gzip (RFC 1952) in stored blocks (RFC 1951 §3.2.4).
pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    for (piece, is_last) in pieces(content) {
        let length = piece.len() as u16;
        out.push(is_last.into());
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(piece);
    }
    out.extend(crc32(content).to_le_bytes());
    out.extend((content.len() as u32).to_le_bytes());
    out
}

/// Zstandard (RFC 8878) in raw blocks.
pub(crate) fn zstd(content: &[u8]) -> Vec<u8> {
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd];
    // A single segment, whose length stands in four bytes.
    out.push(0xa0);
    out.extend((content.len() as u32).to_le_bytes());
    for (piece, is_last) in pieces(content) {
        let header = (piece.len() as u32) << 3 | u32::from(is_last);
        out.extend(&header.to_le_bytes()[..3]);
        out.extend(piece);
    }
    out
}

/// Brotli (RFC 7932) in uncompressed meta-blocks.
pub(crate) fn brotli(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (piece, _) in pieces(content).filter(|(piece, _)| !piece.is_empty()) {
        // ISLAST 0, MNIBBLES 4, MLEN - 1 in 16 bits, ISUNCOMPRESSED 1; the first has WBITS 16 before.
        let header = (piece.len() as u32 - 1) << 3 | 1 << 19;
        let header = header << u32::from(out.is_empty());
        out.extend(&header.to_le_bytes()[..3]);
        out.extend(piece);
    }
    // ISLAST and ISLASTEMPTY, with WBITS before them where nothing else is.
    out.push(if out.is_empty() { 0x06 } else { 0x03 });
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| match crc & 1 {
            0 => crc >> 1,
            _ => crc >> 1 ^ 0xedb8_8320,
        })
    })
}
