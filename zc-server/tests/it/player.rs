//! The page that shows or plays one file: what it links to, and what Chromium makes of it.

use super::browser::{Browser, is_report, reported, write_video};
use super::gallery::{GIF, page_of, values};
use crate::harness::Server;
use crate::harness::clients::Home;

/// The links to the file before and the one behind.
fn steps(page: &str) -> [Option<String>; 2] {
    ["prev", "next"].map(|rel| {
        let behind = page.split(&format!(" rel=\"{rel}\"")).nth(1)?;
        values(behind, "href").into_iter().next()
    })
}

#[test]
fn a_player_leads_through_the_gallery_in_its_order() {
    let server = Server::start(&[]);
    for name in [
        "1.gif",
        "2.mp4",
        "10.mp3",
        "2.jpg",
        "notes.txt",
        "sub/x.gif",
    ] {
        server.write(&format!("dir/{name}"), GIF);
    }
    let link = |name: &str| Some(format!("{name}?view=play"));
    for (name, place, steps_expected) in [
        ("1.gif", "1 of 3", [None, link("2.mp4")]),
        ("2.mp4", "2 of 3", [link("1.gif"), link("10.mp3")]),
        ("10.mp3", "3 of 3", [link("2.mp4"), None]),
    ] {
        let page = page_of(&server, &format!("/dir/{name}?view=play"));
        assert!(page.contains(&format!("<p>{place}</p>")), "{page}");
        assert_eq!(steps(&page), steps_expected, "{name}");
        let links = values(&page, "href");
        assert!(links.contains(&"./?view=gallery".to_owned()));
        for link in links.iter().filter(|link| !link.starts_with('#')) {
            let target = format!("/dir/{}", link.trim_start_matches("./"));
            assert_eq!(server.get(&target).status, 200, "{link}");
        }
    }
    // The order of the gallery that somebody came from stays.
    let page = page_of(&server, "/dir/2.mp4?view=play&order=desc");
    let link = |name: &str| Some(format!("{name}?view=play&sort=name&order=desc"));
    assert_eq!(steps(&page), [link("10.mp3"), link("1.gif")]);
}

#[test]
fn a_film_has_its_poster_and_subtitles() {
    let server = Server::start(&["--download-query=on"]);
    for name in [
        "a film.mp4",
        "a film.png",
        "a film.vtt",
        "a film.pt-BR.vtt",
        "song.ogg",
        "song.jpg",
    ] {
        server.write(name, GIF);
    }
    let page = page_of(&server, "/a%20film.mp4?view=play");
    assert_eq!(values(&page, "poster"), ["a%20film.png"]);
    let tracks = ["a%20film.mp4", "a%20film.vtt", "a%20film.pt-BR.vtt"];
    assert_eq!(values(&page, "src"), tracks);
    assert_eq!(values(&page, "srclang"), ["und", "pt-BR"]);
    assert_eq!(page.matches(" default>").count(), 1);
    assert!(
        page.contains("href=\"a%20film.mp4?download\" download"),
        "{page}"
    );
    let page = page_of(&server, "/song.ogg?view=play");
    assert_eq!(values(&page, "src"), ["song.jpg", "song.ogg"]);
    assert!(page.contains("<audio "), "{page}");
    // Nobody asked for a page of the poster: it belongs to the film.
    assert_eq!(server.get("/song.jpg?view=play").body, GIF);
}

#[test]
fn a_player_escapes_hostile_names() {
    let server = Server::start(&[]);
    let names = [
        (
            "\"><script>alert(1)<&.gif",
            "%22%3E%3Cscript%3Ealert%281%29%3C%26.gif",
        ),
        ("javascript:alert(1).mp4", "javascript%3Aalert%281%29.mp4"),
    ];
    for (name, _) in names {
        server.write(name, GIF);
    }
    for (_, encoded) in names {
        let page = page_of(&server, &format!("/{encoded}?view=play"));
        // The one script is that of the server.
        assert_eq!(page.matches("<script").count(), 1, "{page}");
        assert!(!page.contains("href=\"javascript:"), "{page}");
        assert_eq!(values(&page, "src"), [encoded]);
    }
}

#[test]
fn other_files_and_hidden_listings_have_no_player() {
    let server = Server::start(&[]);
    server.write("notes.txt", b"notes");
    server.write("site/index.html", b"an index");
    server.write("site/picture.gif", GIF);
    server.write(".hidden/picture.gif", GIF);
    assert_eq!(server.get("/notes.txt?view=play").body, b"notes");
    assert_eq!(server.get("/absent.gif?view=play").status, 404);
    assert_eq!(server.get("/.hidden/picture.gif?view=play").status, 404);
    // The names in a directory with an index are told by nothing.
    assert_eq!(server.get("/site/picture.gif?view=play").body, GIF);
    assert_eq!(server.get("/site/?view=gallery").body, b"an index");

    let server = Server::start(&["--listing", "off"]);
    server.write("picture.gif", GIF);
    let file = server.get("/picture.gif?view=play");
    assert_eq!((file.status, &file.body[..]), (200, GIF));
    assert_eq!(file.field("accept-ranges"), Some("bytes"));
    assert_eq!(server.get("/?view=gallery").status, 404);
}

#[test]
fn the_head_of_a_player_tells_its_length() {
    let server = Server::start(&[]);
    server.write("a.gif", GIF);
    let page = server.get("/a.gif?view=play");
    let head = server.head_with("/a.gif?view=play", "");
    assert_eq!((head.status, head.body.len()), (200, 0));
    let length = page.body.len().to_string();
    for response in [&page, &head] {
        assert_eq!(response.field("content-length"), Some(&length[..]));
        assert_eq!(response.field("x-content-type-options"), Some("nosniff"));
        let policy = response.field("content-security-policy").expect("a policy");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}

/// Looks at a gallery on a phone, and reports what does not fit and what is too small for a finger.
const PHONE: &str = r#"<!DOCTYPE html>
<title>phone</title>
<iframe id="frame" width="390" height="844" src="/dir/?view=gallery"></iframe>
<script>
frame.onload = () => {
  const page = frame.contentDocument;
  const { scrollWidth, clientWidth } = page.documentElement;
  const small = [...page.querySelectorAll("a, button")].filter(link => {
    const box = link.getBoundingClientRect();
    return box.width < 44 || box.height < 44;
  });
  const columns = getComputedStyle(page.querySelector(".tiles")).gridTemplateColumns.split(" ").length;
  fetch("/report?wider=" + (scrollWidth - clientWidth) + "&small=" + small.length + "&columns=" + columns);
};
</script>
"#;

#[test]
fn chromium_lays_a_gallery_out_on_a_phone() {
    if Home::for_clients(&["chromium"]).is_none() {
        return;
    }
    let mut server = Server::start(&[]);
    let log = server.follow_log();
    let long = "x".repeat(200);
    for name in [
        "a.gif",
        "two words.gif",
        "c.mp4",
        &format!("{long}.gif"),
        &long,
    ] {
        server.write(&format!("dir/{name}"), GIF);
    }
    server.write(&format!("dir/{long}.d/x"), b"");
    server.write("phone.html", PHONE.as_bytes());
    let page = Browser::open(&server.url("/phone.html"));
    let lines = log.until(is_report);
    drop(page);
    let report = lines.last().expect("the report");
    assert_eq!(report["target"], "/report?wider=0&small=0&columns=3");
}

/// Seeks in a film, reads the page again, and goes to the next file by a key.
const WATCHER: &str = r#"<!DOCTYPE html>
<title>watcher</title>
<iframe id="frame" width="800" height="600" src="/dir/film.mp4?view=play"></iframe>
<script>
const medium = () => frame.contentDocument.getElementById("medium");
const ready = then => medium().readyState ? then() : medium().onloadedmetadata = then;
const seeked = then => { medium().onseeked = then; };
let visits = 0;
frame.onload = () => {
  visits += 1;
  if (visits == 1) ready(() => {
    seeked(() => frame.contentWindow.location.reload());
    medium().currentTime = 30;
  });
  if (visits == 2) {
    const begun = medium().currentTime;
    const then = () => {
      document.title = medium().currentTime;
      const key = new frame.contentWindow.KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true });
      frame.contentDocument.body.dispatchEvent(key);
    };
    if (begun > 0 && !medium().seeking) then(); else seeked(then);
  }
  if (visits == 3) fetch("/report?at=" + document.title + "&next=" + frame.contentWindow.location.pathname);
};
</script>
"#;

#[test]
fn chromium_goes_on_where_a_film_was_left_and_to_the_next_by_a_key() {
    let Some(home) = Home::for_clients(&["chromium", "ffmpeg"]) else {
        return;
    };
    let mut server = Server::start(&[]);
    let log = server.follow_log();
    server.write("dir/next.gif", GIF);
    write_video(&home, &server.path("dir/film.mp4"));
    server.write("watcher.html", WATCHER.as_bytes());
    let page = Browser::open(&server.url("/watcher.html"));
    let lines = log.until(is_report);
    drop(page);
    let report = lines.last().expect("the report");
    assert!((reported(report, "at") - 30.0).abs() < 1.0, "{report}");
    let target = report["target"].as_str().expect("a target");
    assert!(target.ends_with("&next=/dir/next.gif"), "{target}");
}
