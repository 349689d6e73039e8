//! The listing of a directory as a browser shows it: the real server, and headless Chromium.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail, ensure};

use super::grid::Theme;
use crate::artifacts;
use crate::bench::peers::find_program;
use crate::bench::process::free_address;

/// How long the server may take until it accepts.
const START_MAX: Duration = Duration::from_secs(20);
/// How often it is looked whether it does.
const LOOK: Duration = Duration::from_millis(10);
/// How long the browser may take for a picture.
const TAKE_SECONDS_MAX: u32 = 60;
/// How often the browser is begun again when it has crashed.
const CRASHES_MAX: usize = 5;
/// For screens with many pixels.
const SCALE: u32 = 2;
/// The colours of a picture, which has text alone: fewer bytes, and no difference that one sees.
const COLOURS: u32 = 64;
/// What a picture may have.
const BYTES_MAX: u64 = 60 << 10;

/// A picture that is taken.
struct Shot {
    name: &'static str,
    theme: Theme,
    /// Pixels of a page; the picture has [`SCALE`] times as many.
    width: u32,
    height: u32,
}

const SHOTS: [Shot; 3] = [
    Shot {
        name: "listing-light.png",
        theme: Theme::Light,
        width: 640,
        height: 456,
    },
    Shot {
        name: "listing-dark.png",
        theme: Theme::Dark,
        width: 640,
        height: 456,
    },
    Shot {
        name: "listing-390.png",
        theme: Theme::Light,
        width: 390,
        height: 456,
    },
];

/// The directory that is listed, below the root.
const DIRECTORY: &str = "Summer 2026";

/// What is in it: the bytes of each, and the day of July on which it was written. A directory ends in a
/// slash.
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

/// The server, until it is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Takes all pictures, and writes them into `images`.
pub(super) fn take(images: &Path) -> anyhow::Result<()> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let chromium = names.into_iter().find_map(find_program);
    let chromium = chromium.with_context(|| missing("chromium"))?;
    let ffmpeg = find_program("ffmpeg").with_context(|| missing("ffmpeg"))?;
    let mut build = crate::cargo_command(&["build", "--package", "zc-server"], &[]);
    build.current_dir(artifacts::root());
    let programs = artifacts::build(build)?;
    let program = programs
        .get("zc-server")
        .context("cargo built no zc-server")?;
    let scratch = tempfile::tempdir()?;
    let root = scratch.path().join("root");
    make_files(&root.join(DIRECTORY))?;
    let address = free_address()?;
    let _server = start(program, &root, address)?;
    for shot in &SHOTS {
        let path = images.join(shot.name);
        let whole = scratch.path().join(shot.name);
        shot.take(&chromium, address, scratch.path(), &whole)?;
        reduce_colours(&ffmpeg, &whole, &path)?;
        let bytes = std::fs::metadata(&path)?.len();
        ensure!(
            bytes <= BYTES_MAX,
            "{} has {bytes} bytes, more than {BYTES_MAX}",
            shot.name
        );
        println!("{}", path.display());
    }
    Ok(())
}

fn missing(program: &str) -> String {
    format!("{program} is not installed; on Debian: apt-get install {program}")
}

/// Writes a picture again with a palette.
fn reduce_colours(ffmpeg: &Path, from: &Path, to: &Path) -> anyhow::Result<()> {
    let filter = format!(
        "split[a][b];[a]palettegen=max_colors={COLOURS}:stats_mode=single[p];[b][p]paletteuse=dither=none"
    );
    let mut command = Command::new(ffmpeg);
    command
        .args(["-nostdin", "-v", "error", "-y", "-i"])
        .arg(from);
    command.args(["-vf", &filter, "-compression_level", "100", "-pred", "none"]);
    let output = command.arg(to).output().context("cannot run ffmpeg")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ffmpeg: {}", said.trim());
    Ok(())
}

fn make_files(directory: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory)?;
    for (name, bytes, day) in ENTRIES {
        let path = directory.join(name);
        let modified = SystemTime::UNIX_EPOCH + FIRST_OF_JULY + DAY * (day as u32 - 1);
        let entry = if name.ends_with('/') {
            std::fs::create_dir(&path)?;
            std::fs::File::open(&path)?
        } else {
            let file = std::fs::File::create(&path)?;
            // Without blocks on the disk.
            file.set_len(bytes)?;
            file
        };
        entry.set_modified(modified)?;
    }
    Ok(())
}

fn start(program: &Path, root: &Path, address: SocketAddr) -> anyhow::Result<Server> {
    let mut command = Command::new(program);
    command.arg("--bind").arg(address.to_string()).arg(root);
    let quiet = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(Stdio::null());
    let mut server = Server(quiet.spawn().context("cannot start zc-server")?);
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        if let Some(status) = server.0.try_wait()? {
            bail!("zc-server has ended: {status}");
        }
        ensure!(
            began.elapsed() < START_MAX,
            "zc-server does not accept at {address}"
        );
        std::thread::sleep(LOOK);
    }
    Ok(server)
}

impl Shot {
    fn take(
        &self,
        chromium: &Path,
        address: SocketAddr,
        scratch: &Path,
        path: &Path,
    ) -> anyhow::Result<()> {
        // A window is 500 pixels wide at least, whatever is asked for; a frame in it is not.
        let (width, height) = (self.width, self.height);
        let directory = DIRECTORY.replace(' ', "%20");
        let page = format!(
            "<!DOCTYPE html><meta name=\"color-scheme\" content=\"light dark\">\
             <body style=\"margin:0\"><iframe src=\"http://{address}/{directory}/\" \
             style=\"border:0;width:{width}px;height:{height}px\"></iframe>"
        );
        let frame = scratch.join("frame.html");
        std::fs::write(&frame, page)?;
        let colours = match self.theme {
            Theme::Dark => 0,
            Theme::Light => 1,
        };
        // timeout(1) ends by the signal that has ended the browser.
        let mut command = Command::new("timeout");
        command
            .arg(TAKE_SECONDS_MAX.to_string())
            .arg(chromium)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
            ])
            .args([
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
            ])
            .arg(format!("--force-device-scale-factor={SCALE}"))
            .arg(format!("--blink-settings=preferredColorScheme={colours}"))
            .arg(format!(
                "--user-data-dir={}",
                scratch.join("profile").display()
            ))
            .arg(format!("--window-size={width},{height}"))
            .arg(format!("--screenshot={}", path.display()))
            .arg(format!("file://{}", frame.display()))
            .stdin(Stdio::null());
        let output = unless_crashed(|| Ok(command.output()?))
            .with_context(|| format!("cannot take {}", self.name))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "chromium: {}", said.trim());
        Ok(())
    }
}

/// Runs a program again as long as a signal has ended it: Chromium crashes now and then.
fn unless_crashed(mut run: impl FnMut() -> anyhow::Result<Output>) -> anyhow::Result<Output> {
    let mut crashes = 0;
    loop {
        let output = run()?;
        let has_crashed = output.status.signal().is_some();
        if !has_crashed || crashes == CRASHES_MAX {
            return Ok(output);
        }
        crashes += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_has_what_the_picture_shows() {
        let scratch = tempfile::tempdir().expect("a directory");
        let directory = scratch.path().join(DIRECTORY);
        make_files(&directory).expect("files");
        for (name, bytes, day) in ENTRIES {
            let entry = std::fs::metadata(directory.join(name)).expect(name);
            assert_eq!(entry.is_dir(), name.ends_with('/'), "{name}");
            assert!(entry.is_dir() || entry.len() == bytes, "{name}");
            let modified = jiff::Timestamp::try_from(entry.modified().expect("a time"));
            let modified = modified.expect("a time of these years");
            assert_eq!(modified.to_string(), format!("2026-07-{day}T09:30:00Z"));
        }
    }

    #[test]
    fn a_browser_that_crashed_is_started_again_and_one_that_failed_is_not() {
        let mut runs = 0;
        let mut ended_by = |ends: &[&str]| {
            runs = 0;
            let output = unless_crashed(|| {
                let end = ends.get(runs).unwrap_or(&"kill -SEGV $$");
                runs += 1;
                Ok(Command::new("sh").args(["-c", end]).output()?)
            });
            (output.expect("sh runs").status.code(), runs)
        };
        assert_eq!(ended_by(&["kill -SEGV $$", "exit 0"]), (Some(0), 2));
        assert_eq!(ended_by(&["exit 1"]), (Some(1), 1));
        assert_eq!(ended_by(&[]), (None, CRASHES_MAX + 1));
    }
}
