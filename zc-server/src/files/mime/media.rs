//! The media types that browsers show or play by themselves.

/// What a browser makes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MediaKind {
    /// A JPEG picture, which may have a thumbnail in it.
    Photo,
    /// A picture of another type.
    Image,
    Video,
    Audio,
}

/// Pictures of all browsers. JPEG XL and HEIC are shown by some alone, TIFF and raw pictures by hardly any.
const IMAGES: [&str; 10] = [
    "apng",
    "avif",
    "bmp",
    "gif",
    "png",
    "svg+xml",
    "vnd.microsoft.icon",
    "webp",
    "x-icon",
    "x-ms-bmp",
];
/// Containers that some browser plays at least: what is in them decides. MPEG-TS, AVI and WMV are played by
/// none.
const VIDEOS: [&str; 7] = [
    "3gpp",
    "matroska",
    "mp4",
    "ogg",
    "quicktime",
    "webm",
    "x-matroska",
];
const AUDIOS: [&str; 13] = [
    "aac", "flac", "matroska", "mp4", "mpeg", "ogg", "opus", "wav", "wave", "webm", "x-flac",
    "x-m4a", "x-wav",
];

impl MediaKind {
    /// The kind of a media type, with or without parameters; `None` for what no browser shows as a picture, a
    /// film or a sound.
    pub(crate) fn of(media_type: &str) -> Option<Self> {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        let (kind, subtype) = essence.split_once('/')?;
        let is_it = |known: &&str| known.eq_ignore_ascii_case(subtype);
        let is_in = |subtypes: &[&str]| subtypes.iter().any(&is_it);
        match kind.to_ascii_lowercase().as_str() {
            "image" if is_in(&["jpeg"]) => Some(Self::Photo),
            "image" if is_in(&IMAGES) => Some(Self::Image),
            "video" if is_in(&VIDEOS) => Some(Self::Video),
            "audio" if is_in(&AUDIOS) => Some(Self::Audio),
            _ => None,
        }
    }

    /// Whether it is shown, and not played.
    pub(crate) fn is_picture(self) -> bool {
        matches!(self, Self::Photo | Self::Image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::files::Charset;
    use crate::files::mime::Types;

    #[test]
    fn names_tell_what_a_browser_shows() {
        use MediaKind::{Audio, Image, Photo, Video};
        let types = Types::new(
            Vec::new(),
            "application/octet-stream".to_owned(),
            Charset::Auto,
        );
        for (names, kind) in [
            (&["a.jpg", "a.JPEG", "a.b.jpe"][..], Some(Photo)),
            (
                &[
                    "a.png", "a.gif", "a.webp", "a.avif", "a.svg", "a.bmp", "a.ico", "a.apng",
                ],
                Some(Image),
            ),
            (
                &["a.mp4", "a.m4v", "a.webm", "a.mkv", "a.mov", "a.ogv"],
                Some(Video),
            ),
            (
                &[
                    "a.mp3", "a.m4a", "a.m4b", "a.flac", "a.opus", "a.ogg", "a.wav", "a.aac",
                ],
                Some(Audio),
            ),
            (
                &[
                    "a.tiff", "a.cr2", "a.dng", "a.psd", "a.ts", "a.avi", "a.wmv", "a.mid",
                    "a.m3u", "a.vtt", "a.txt", "a", ".jpg",
                ],
                None,
            ),
        ] {
            for name in names {
                assert_eq!(types.media_kind(name.as_bytes()), kind, "{name}");
            }
        }
        assert_eq!(MediaKind::of("Video/MP4; codecs=avc1"), Some(Video));
        assert_eq!(MediaKind::of("video"), None);
    }
}
