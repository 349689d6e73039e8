//! The pages of the server in Chromium, as people use them: by day and by night, on a desk and on a phone, with
//! JavaScript and without. The checks are scripts beside this file, which Node.js runs with playwright-core and
//! axe-core.

mod folders;
mod packages;
mod size;

use std::time::Duration;

use serde_json::{Value, json};

use super::browser::{CRASHES_MAX, TURN, always, lock};
use crate::harness::Server;
use crate::harness::clients::{Home, find_program, said};
use folders::{HOSTILE, make_hostile, make_read, make_sorted};

/// A limit that only ends a browser that hangs: some scripts open more than a hundred pages.
const SCRIPT_HANGS: Duration = Duration::from_secs(600);
/// The exit code of a script whose browser has crashed.
const CRASHED: i32 = 75;
/// Options of Chromium that playwright-core gives itself.
const OF_PLAYWRIGHT: [&str; 2] = ["--headless", "--user-data-dir=profile"];

/// The scripts, and what they have in common.
const SCRIPTS: [(&str, &str); 5] = [
    ("browser.mjs", include_str!("browser.mjs")),
    ("every_page.mjs", include_str!("every_page.mjs")),
    ("links.mjs", include_str!("links.mjs")),
    ("reading.mjs", include_str!("reading.mjs")),
    ("sorting.mjs", include_str!("sorting.mjs")),
];

/// A home with the scripts and the packages; `None` where something for it is not installed.
fn home(more: &[&str]) -> Option<Home> {
    let home = Home::for_clients(&[&["chromium", "node", "npm"], more].concat())?;
    let packages = packages::installed()?;
    std::os::unix::fs::symlink(packages, home.path("node_modules")).expect("a link");
    for (name, text) in SCRIPTS {
        home.write(name, text.as_bytes());
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

/// The pages that have to be good on every screen, with the status of each: a new one is a line.
const EVERY_PAGE: [(&str, u16); 5] = [
    ("/", 200),
    ("/sorted/?sort=time&order=desc", 200),
    ("/empty/", 200),
    (
        "/deep/2/3/4/5/a-directory-with-a-longer-name/7/8/9/10/11/12/13/",
        200,
    ),
    (HOSTILE, 200),
];

#[test]
fn every_page_fits_every_screen_and_axe_finds_no_fault() {
    let Some(home) = home(&[]) else {
        return;
    };
    let server = Server::start(&[]);
    make_hostile(&server);
    make_sorted(&server);
    for (path, _) in EVERY_PAGE {
        let path = path.split('?').next().expect("a path");
        if path.ends_with('/') && path != HOSTILE {
            std::fs::create_dir_all(server.path(&path[1..])).expect("a directory");
        }
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
