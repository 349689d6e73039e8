//! The pages of the server in Chromium, as people use them: by day and by night, on a desk and on a phone, with
//! JavaScript and without. The checks are scripts beside this file, which Node.js runs with playwright-core and
//! axe-core.

mod folders;
mod packages;
mod size;

use std::time::Duration;

use serde_json::{Value, json};

use super::browser::{CRASHES_MAX, TURN, always, lock};
use crate::harness::clients::{Home, assert_same_files, find_program, said};
use crate::harness::{Server, pattern};
use folders::{HOSTILE, make_hostile, make_media, make_read, make_sorted};

/// A limit that only ends a browser that hangs: some scripts open more than a hundred pages.
const SCRIPT_HANGS: Duration = Duration::from_secs(600);
/// The exit code of a script whose browser has crashed.
const CRASHED: i32 = 75;
/// Options of Chromium that playwright-core gives itself.
const OF_PLAYWRIGHT: [&str; 2] = ["--headless", "--user-data-dir=profile"];

/// Where the scripts are.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/playwright");

/// A home with the scripts and the packages; `None` where something for it is not installed.
fn home(more: &[&str]) -> Option<Home> {
    let home = Home::for_clients(&[&["chromium", "node", "npm"], more].concat())?;
    let packages = packages::installed()?;
    std::os::unix::fs::symlink(packages, home.path("node_modules")).expect("a link");
    for entry in std::fs::read_dir(SCRIPTS).expect("the scripts") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|it| it == "mjs") {
            let name = path.file_name().expect("a name");
            std::fs::copy(&path, home.path("").join(name)).expect("a script");
        }
    }
    Some(home)
}

/// Runs a script, which must find no fault. `told` is what it has to know beside the server.
fn check(home: &Home, script: &str, server: &Server, mut told: Value) {
    let options = always();
    let options = options.iter().filter(|it| !OF_PLAYWRIGHT.contains(it));
    told["args"] = options.copied().collect();
    told["base"] = server.url("").into();
    told["root"] = server.root.path().to_str().expect("UTF-8").into();
    let chromium = find_program("chromium").expect("it is installed");
    told["chromium"] = chromium.to_str().expect("UTF-8").into();
    let run = || {
        let mut command = home.command_for("node", SCRIPT_HANGS);
        command.arg(script).env("TOLD", told.to_string());
        // What Node.js asks itself, without the browser.
        command.env("NODE_EXTRA_CA_CERTS", home.authority());
        command.output().expect("timeout(1) starts")
    };
    let turn = lock(&TURN);
    let outputs = (0..CRASHES_MAX).map(|_| run());
    let output = { outputs }.find(|output| output.status.code() != Some(CRASHED));
    drop(turn);
    said(&output.expect("it crashes each time"), script);
}

/// So many directories that the path of the page leaves some out.
const DEEP: &str = "/deep/2/3/4/5/a-directory-with-a-longer-name/7/8/9/10/11/12/13/";

/// A README with all that Markdown has, and with words that are longer than a screen.
const README: &str = "# A folder\n\nOf *words*, [a link](README.md), `code`.\n\n## A list\n\n- one\n- [x] two\n\n> said\n\n\
    | a | b |\n|---|---|\n| 1 | cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc |\n\n\
    ```sh\na-command --with-an-option=of-many-letters --and-another-one=that-makes-it-longer-than-a-screen\n```\n";

/// The pages that have to be good on every screen, with the status of each: a new one is a line.
const EVERY_PAGE: [(&str, u16); 12] = [
    ("/", 200),
    ("/sorted/?sort=time&order=desc", 200),
    ("/empty/", 200),
    (DEEP, 200),
    (HOSTILE, 200),
    ("/told/", 200),
    ("/media/", 200),
    ("/media/?view=gallery", 200),
    ("/media/1%20dawn.jpg?view=play", 200),
    ("/media/2%20film.mp4?view=play", 200),
    ("/none", 404),
    ("/sorted/none.txt", 404),
];

#[test]
fn every_page_fits_every_screen_and_axe_finds_no_fault() {
    let Some(home) = home(&["ffmpeg"]) else {
        return;
    };
    let server = Server::start(&["--archive", "on", "--listing-readme", "on"]);
    make_hostile(&server);
    server.write("told/README.md", README.as_bytes());
    make_sorted(&server);
    make_media(&home, &server);
    for directory in ["empty", DEEP.trim_matches('/')] {
        std::fs::create_dir_all(server.path(directory)).expect("a directory");
    }
    let pages = EVERY_PAGE.map(|(path, status)| json!({"path": path, "status": status}));
    check(&home, "every_page.mjs", &server, json!({ "pages": pages }));
}

#[test]
fn every_link_of_a_listing_opens_what_it_names() {
    let Some(home) = home(&[]) else {
        return;
    };
    let server = Server::start(&[]);
    make_hostile(&server);
    let (name, content) = ("click here.txt", "the file that is clicked");
    std::fs::write(server.path(&HOSTILE[1..]).join(name), content).expect("a file");
    let told = json!({"path": HOSTILE, "clicked": name, "content": content});
    check(&home, "links.mjs", &server, told);
}

#[test]
fn a_listing_is_sorted_by_mouse_and_keys_and_stays_so_in_other_folders() {
    let Some(home) = home(&[]) else {
        return;
    };
    let server = Server::start(&[]);
    let orders = make_sorted(&server);
    check(&home, "sorting.mjs", &server, json!({ "orders": orders }));
}

#[test]
fn a_listing_has_times_of_the_reader_a_filter_and_keys() {
    let Some(home) = home(&[]) else {
        return;
    };
    let server = Server::start(&[]);
    make_read(&server);
    check(&home, "reading.mjs", &server, json!({}));
}

#[test]
fn the_page_of_an_error_leads_back() {
    let Some(home) = home(&[]) else {
        return;
    };
    let server = Server::start(&[]);
    make_sorted(&server);
    check(&home, "errors.mjs", &server, json!({}));
}

#[test]
fn a_gallery_leads_to_a_player_that_plays_and_seeks() {
    let Some(home) = home(&["ffmpeg"]) else {
        return;
    };
    let server = Server::start(&[]);
    make_media(&home, &server);
    server.write("broken/film.mp4", &pattern(5000, 1));
    check(&home, "gallery.mjs", &server, json!({}));
}

#[test]
fn the_button_of_a_listing_downloads_the_folder() {
    let Some(home) = home(&["tar"]) else {
        return;
    };
    let server = Server::start(&["--archive", "on"]);
    make_sorted(&server);
    check(&home, "archive.mjs", &server, json!({}));
    home.succeed("tar", &["-xf", "sorted.tar"]);
    assert_same_files(&home.path("sorted"), &server.path("sorted"));
}
