//! `cargo xtask screenshots`: the pages of the server as a browser shows them, for README and the book.

mod browser;
mod content;
mod first_paint;
mod landscape;
mod server;

use std::path::Path;

use anyhow::{Context, ensure};
use clap::Parser;
use serde_json::json;

use crate::artifacts::{self, BUILD_AS_TESTED};
use crate::bench::peers::find_program;
use crate::pictures::IMAGES;
use browser::Browser;
use content::{DIRECTORY, FILM, PHOTOS};
use server::Server;

/// For screens with many pixels.
const SCALE: u32 = 2;
/// What a picture may have.
const BYTES_MAX: u64 = 60 << 10;
/// The zone of the browser, so that pictures have the same times on every machine.
const ZONE: &str = "Europe/Zurich";

const SCRIPT: &str = include_str!("take.mjs");

/// Takes the pictures of the listing, the gallery, the player and an error, with Chromium, Node.js and ffmpeg.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask screenshots",
    bin_name = "cargo xtask screenshots",
    max_term_width = 80
)]
struct Options {
    /// Take none, but print how soon a listing of 20,000 files is seen, as the median of this many runs.
    #[arg(long, value_name = "RUNS")]
    measure: Option<u32>,
}

/// A picture that is taken.
struct Shot {
    name: &'static str,
    page: Page,
    is_dark: bool,
    /// Pixels of a page; the picture has [`SCALE`] times as many.
    width: u32,
    height: u32,
    /// Of its palette: fewer bytes, and no difference that one sees.
    colours: u32,
}

/// What it is a picture of.
#[derive(Debug, Clone, Copy)]
enum Page {
    Listing,
    Gallery,
    Player,
    Error,
}

impl Page {
    /// Its path below the root.
    fn path(self) -> String {
        let path = match self {
            Self::Listing => format!("{DIRECTORY}/"),
            Self::Gallery => format!("{DIRECTORY}/{PHOTOS}/?view=gallery"),
            Self::Player => format!("{DIRECTORY}/{PHOTOS}/{FILM}?view=play"),
            Self::Error => format!("{DIRECTORY}/harbor.mp4"),
        };
        path.replace(' ', "%20")
    }
}

const fn shot(name: &'static str, page: Page, is_dark: bool, (width, height): (u32, u32)) -> Shot {
    let colours = match page {
        Page::Listing | Page::Error => 64,
        Page::Gallery | Page::Player => 128,
    };
    Shot {
        name,
        page,
        is_dark,
        width,
        height,
        colours,
    }
}

/// From 641 pixels on a listing has columns, and from some 880 on the buttons of the gallery stand in one row.
const SHOTS: [Shot; 8] = [
    shot("listing-light.png", Page::Listing, false, (800, 532)),
    shot("listing-dark.png", Page::Listing, true, (800, 532)),
    shot("listing-390.png", Page::Listing, false, (390, 564)),
    shot("gallery-light.png", Page::Gallery, false, (900, 640)),
    shot("gallery-dark.png", Page::Gallery, true, (900, 640)),
    shot("player-light.png", Page::Player, false, (800, 640)),
    shot("player-dark.png", Page::Player, true, (800, 640)),
    shot("error-light.png", Page::Error, false, (640, 280)),
];

/// Takes all pictures, or measures.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let name = "cargo xtask screenshots".to_owned();
    let options = Options::parse_from(std::iter::once(&name).chain(arguments));
    let server = ["--bin", "zc-server"];
    let mut build = crate::cargo_command(&[&BUILD_AS_TESTED[..], &server].concat(), &[]);
    build.current_dir(artifacts::root());
    let programs = artifacts::build(build)?;
    let program = programs.get("zc-server");
    let program = program.context("cargo built no zc-server")?;
    let scratch = tempfile::tempdir()?;
    match options.measure {
        Some(runs) => first_paint::measure(program, scratch.path(), runs),
        None => take(program, scratch.path(), &artifacts::root().join(IMAGES)),
    }
}

fn take(program: &Path, scratch: &Path, images: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(images).with_context(|| format!("cannot make {}", images.display()))?;
    let browser = Browser::find(scratch)?;
    let ffmpeg = find_program("ffmpeg").with_context(|| missing("ffmpeg"))?;
    let root = scratch.join("root");
    content::make(&ffmpeg, &root)?;
    let server = Server::start(program, &root)?;
    let shots = SHOTS.each_ref().map(|shot| {
        json!({
            "url": server.url(&shot.page.path()),
            "file": scratch.join(shot.name),
            "width": shot.width,
            "height": shot.height,
            "colorScheme": if shot.is_dark { "dark" } else { "light" },
        })
    });
    let told = json!({ "scale": SCALE, "zone": ZONE, "shots": shots });
    browser.run(SCRIPT, told)?;
    for shot in &SHOTS {
        let path = images.join(shot.name);
        shot.reduce_colours(&ffmpeg, &scratch.join(shot.name), &path)?;
        let bytes = std::fs::metadata(&path)?.len();
        println!("{} {bytes} bytes", path.display());
        ensure!(
            bytes <= BYTES_MAX,
            "{} has {bytes} bytes, more than {BYTES_MAX}",
            shot.name
        );
    }
    Ok(())
}

fn missing(program: &str) -> String {
    format!("{program} is not installed; on Debian: apt-get install {program}")
}

impl Shot {
    /// Writes a picture again with a palette.
    fn reduce_colours(&self, ffmpeg: &Path, from: &Path, to: &Path) -> anyhow::Result<()> {
        let filter = format!(
            "split[a][b];[a]palettegen=max_colors={}:stats_mode=single[p];[b][p]paletteuse=dither=none",
            self.colours
        );
        let from = from.to_str().context("a path in UTF-8")?;
        let paletted = ["-i", from, "-vf", &filter];
        let packed = ["-compression_level", "100", "-pred", "none"];
        content::draw(ffmpeg, &[paletted, packed].concat(), to)
    }
}
