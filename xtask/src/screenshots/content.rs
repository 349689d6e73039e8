//! What the pictures show: a folder with films and photos, as somebody has them.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::Context;

use super::browser::succeed;
use super::landscape::{Colour, Landscape, Sun};

/// The directory that is listed, below the root.
pub(super) const DIRECTORY: &str = "Summer 2026";
/// The directory in it that is shown as a gallery.
pub(super) const PHOTOS: &str = "Photos of Genève";

/// What is in [`DIRECTORY`]: the bytes of each, and the day of July on which it was written. A directory ends in
/// a slash.
const ENTRIES: [(&str, u64, u64); 7] = [
    ("Photos of Genève/", 0, 19),
    ("raw footage/", 0, 12),
    ("cover.jpg", 482_913, 20),
    ("harbour at night.mp4", 734_003_200, 14),
    ("harbour at night.vtt", 18_432, 15),
    ("notes.txt", 2_048, 21),
    ("Zürich – Grüße.mp4", 312_475_648, 17),
];
/// 2026-07-01 at 9:30 UTC.
const FIRST_OF_JULY: Duration = Duration::from_secs(1_782_898_200);
const DAY: Duration = Duration::from_secs(86_400);

/// Makes all files below the root.
pub(super) fn make(ffmpeg: &Path, root: &Path) -> anyhow::Result<()> {
    let directory = root.join(DIRECTORY);
    make_entries(&directory)?;
    let photos = directory.join(PHOTOS);
    make_photos(ffmpeg, &photos)?;
    set_time(&photos, day_of(PHOTOS))
}

/// The files of the listing, without blocks on the disk.
fn make_entries(directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory)?;
    for (name, bytes, day) in ENTRIES {
        let path = directory.join(name);
        if name.ends_with('/') {
            fs::create_dir(&path)?;
        } else {
            File::create(&path)?.set_len(bytes)?;
        }
        set_time(&path, day)?;
    }
    Ok(())
}

/// The day of July of an entry of the listing.
fn day_of(directory: &str) -> u64 {
    let mut entries = ENTRIES.iter();
    let entry = entries.find(|(name, ..)| name.trim_end_matches('/') == directory);
    entry.map_or(1, |&(_, _, day)| day)
}

fn set_time(path: &Path, day: u64) -> anyhow::Result<()> {
    let modified = SystemTime::UNIX_EPOCH + FIRST_OF_JULY + DAY * (day as u32 - 1);
    let entry = File::open(path)?;
    entry.set_modified(modified)?;
    Ok(())
}

/// The film of the gallery, with a poster and subtitles of the same name.
pub(super) const FILM: &str = "Lake at dusk.mp4";
const FILM_SECONDS: u32 = 254;
const SUBTITLES: &str = "WEBVTT\n\n00:00.000 --> 04:00.000\nThe last boat comes in.\n";

/// What the photos show.
const LANDSCAPES: [(&str, Landscape); 8] = [
    (
        "Lake at dusk",
        landscape(
            [[38, 40, 92], [244, 151, 108]],
            ([255, 225, 170], 0.62, 0.44),
            [[126, 76, 116], [74, 52, 98], [34, 30, 66]],
            0.4,
        ),
    ),
    (
        "Above Carouge",
        landscape(
            [[92, 164, 224], [214, 236, 248]],
            ([255, 250, 220], 0.22, 0.2),
            [[134, 176, 190], [88, 146, 118], [46, 104, 78]],
            1.3,
        ),
    ),
    (
        "Blue hour",
        landscape(
            [[14, 22, 58], [72, 118, 176]],
            ([236, 240, 250], 0.76, 0.24),
            [[46, 78, 128], [28, 50, 92], [14, 26, 54]],
            2.2,
        ),
    ),
    (
        "First snow",
        landscape(
            [[170, 190, 208], [236, 240, 244]],
            ([255, 255, 255], 0.5, 0.28),
            [[196, 208, 220], [222, 230, 236], [248, 250, 252]],
            3.1,
        ),
    ),
    (
        "Late August",
        landscape(
            [[244, 186, 92], [252, 230, 178]],
            ([255, 250, 226], 0.34, 0.34),
            [[206, 148, 84], [172, 106, 58], [116, 70, 44]],
            4.0,
        ),
    ),
    (
        "Mist at six",
        landscape(
            [[206, 200, 214], [244, 226, 218]],
            ([255, 244, 232], 0.68, 0.38),
            [[190, 186, 204], [152, 152, 178], [108, 112, 142]],
            4.9,
        ),
    ),
    (
        "Red evening",
        landscape(
            [[120, 28, 52], [250, 128, 84]],
            ([255, 214, 150], 0.42, 0.46),
            [[150, 46, 66], [98, 30, 58], [50, 18, 42]],
            5.8,
        ),
    ),
    (
        "Vineyards",
        landscape(
            [[150, 206, 226], [244, 246, 222]],
            ([255, 248, 210], 0.8, 0.2),
            [[150, 190, 132], [112, 162, 78], [70, 116, 52]],
            6.7,
        ),
    ),
];

const fn landscape(
    sky: [Colour; 2],
    (colour, x, y): (Colour, f64, f64),
    hills: [Colour; 3],
    phase: f64,
) -> Landscape {
    let sun = Sun { colour, x, y };
    Landscape {
        sky,
        sun,
        hills,
        phase,
    }
}

fn make_photos(ffmpeg: &Path, directory: &Path) -> anyhow::Result<()> {
    let drawn = directory.join("drawn.ppm");
    for (name, landscape) in LANDSCAPES {
        let path = directory.join(name).with_extension("jpg");
        fs::write(&drawn, landscape.ppm())?;
        let drawn = drawn.to_str().context("a path in UTF-8")?;
        draw(ffmpeg, &["-i", drawn, "-q:v", "2"], &path)?;
    }
    fs::remove_file(&drawn)?;
    let poster = directory.join(FILM).with_extension("jpg");
    let seconds = FILM_SECONDS.to_string();
    let poster = poster.to_str().context("a path in UTF-8")?;
    let still = [
        "-loop",
        "1",
        "-framerate",
        "1",
        "-i",
        poster,
        "-t",
        &seconds,
    ];
    let coded = [
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p",
        "-movflags",
        "+faststart",
    ];
    draw(
        ffmpeg,
        &[&still[..], &coded].concat(),
        &directory.join(FILM),
    )?;
    fs::write(directory.join(FILM).with_extension("vtt"), SUBTITLES)?;
    fs::write(directory.join("where and when.txt"), "Genève, 2026\n")?;
    fs::create_dir(directory.join("originals"))?;
    Ok(fs::create_dir(directory.join("prints for grandma"))?)
}

/// Has ffmpeg write a file.
pub(super) fn draw(ffmpeg: &Path, arguments: &[&str], to: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(ffmpeg);
    command
        .args(["-nostdin", "-v", "error", "-y"])
        .args(arguments);
    succeed(command.arg(to), "ffmpeg")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_has_what_the_picture_shows() {
        let scratch = tempfile::tempdir().expect("a directory");
        let directory = scratch.path().join(DIRECTORY);
        make_entries(&directory).expect("files");
        for (name, bytes, day) in ENTRIES {
            let entry = fs::metadata(directory.join(name)).expect(name);
            assert_eq!(entry.is_dir(), name.ends_with('/'), "{name}");
            assert!(entry.is_dir() || entry.len() == bytes, "{name}");
            let modified = jiff::Timestamp::try_from(entry.modified().expect("a time"));
            let modified = modified.expect("a time of these years");
            assert_eq!(modified.to_string(), format!("2026-07-{day}T09:30:00Z"));
        }
        assert_eq!(day_of(PHOTOS), 19);
    }
}
