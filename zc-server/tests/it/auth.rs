//! `--auth-file`: who has no name and password of the file is answered with 401.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::admin::Watched;
use crate::harness::clients::Home;
use crate::harness::{Client, Response, Server, binary, temp_root};

const CHALLENGE: &str = "Basic realm=\"zc\", charset=\"UTF-8\"";
/// The passwords `secret` and `other`, which take no time.
const ANN: &str = "ann:$2y$04$1h2KDfuvZtc.2QNR14YFS.Wyt7ZvL0uYzeA9/xeFseBWl3I/GNDJ6\n";
const BOB: &str = "bob:$2y$04$/4.Rv8opJmnq..bomD87auQfqwe349c3QgvvXkHugOPrJ/IXY0FJS\n";
/// The password `secret`, which takes half a second of a processor.
const SLOW: &str = "slow:$2y$12$sA6CiAfbd6S4Ci8vDRpPPuhrVTFkqZtJHSoXDFUB99Xhyheas/wf2\n";
const GRANTED: &str = "zc_auth_checks_total{result=\"granted\"}";
const DENIED: &str = "zc_auth_checks_total{result=\"denied\"}";

/// A file of users, outside of what is served.
struct Users {
    directory: TempDir,
}

impl Users {
    fn of(lines: &str) -> Self {
        let users = Self {
            directory: temp_root(),
        };
        users.write(lines);
        users
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("users")
    }

    fn write(&self, lines: &str) {
        std::fs::write(self.path(), lines).expect("a file");
    }

    fn option(&self) -> String {
        format!("--auth-file={}", self.path().display())
    }
}

fn start(users: &Users, files: &[(&str, &[u8])], options: &[&str]) -> Server {
    let of_users = users.option();
    Server::start_over(files, &[&[&of_users[..]], options].concat())
}

/// The field for a name and a password.
fn basic(credentials: &str) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in credentials.as_bytes().chunks(3) {
        let whole = [three, &[0; 2]].concat();
        let bits = whole[..3]
            .iter()
            .fold(0, |bits, &byte| bits << 8 | usize::from(byte));
        let digits = [18, 12, 6, 0].map(|shift| char::from(alphabet[bits >> shift & 63]));
        text.extend(&digits[..=three.len()]);
        text.extend(std::iter::repeat_n('=', 3 - three.len()));
    }
    format!("Authorization: Basic {text}\r\n")
}

fn ask(client: &mut Client, target: &str, fields: &str) -> Response {
    let request = format!("GET {target} HTTP/1.1\r\nHost: t\r\n{fields}\r\n");
    client.send(request.as_bytes());
    client.response(false)
}

#[track_caller]
fn assert_challenged(response: &Response) {
    let challenge = response.field("www-authenticate");
    assert_eq!((response.status, challenge), (401, Some(CHALLENGE)));
}

#[test]
fn real_clients_come_in_with_users_of_htpasswd() {
    let Some(home) = Home::for_clients(&["htpasswd", "curl", "wget"]) else {
        return;
    };
    let passwords = [
        ("ann", "secret"),
        ("bob", "with:a colon"),
        ("\u{e9}mile", "p\u{e4}ss w\u{f6}rd \u{20ac}"),
    ];
    for (index, (user, password)) in passwords.into_iter().enumerate() {
        let options = if index == 0 { "-bBc" } else { "-bB" };
        home.succeed("htpasswd", &[options, "users", user, password]);
    }
    let file = format!("--auth-file={}", home.path("users").display());
    let mut server = Server::start_over(&[("f", b"content")], &[&file]);
    let log = server.follow_log();
    let url = server.url("/f");
    let code = |credentials: &str| {
        let arguments = [
            "-s",
            "-o",
            "got",
            "-w",
            "%{http_code}",
            "-u",
            credentials,
            &url,
        ];
        home.succeed("curl", &arguments)
    };
    for (user, password) in passwords {
        assert_eq!(code(&format!("{user}:{password}")), "200");
        assert_eq!(home.read("got"), b"content");
        assert_eq!(code(&format!("{user}:{password}x")), "401");
        assert_eq!(home.read("got"), b"401 Unauthorized\n");
    }
    assert_eq!(code("nobody:secret"), "401");
    assert_eq!(code("ann:"), "401");
    let authority = format!("--ca-certificate={}", home.authority());
    // It says no password before it is asked for one.
    let by_wget = |password: &str| {
        let password = format!("--password={password}");
        let arguments = [
            "-q",
            "-O",
            "wgot",
            "-t1",
            &authority,
            "--user=bob",
            &password,
            &url,
        ];
        home.run("wget", &arguments).status.success()
    };
    assert!(by_wget("with:a colon"));
    assert_eq!(home.read("wgot"), b"content");
    assert!(!by_wget("with"));
    let lines = log.until(|line| line["status"] == 200 && line["user"] == "bob" && is_wget(line));
    let users: Vec<_> = lines
        .iter()
        .map(|line| (&line["status"], &line["user"]))
        .collect();
    assert!(
        users
            .iter()
            .all(|(status, user)| (*status == 200) == user.is_string())
    );
    assert!(
        lines.iter().any(|line| line["user"] == "\\xC3\\xA9mile"),
        "{lines:#?}"
    );
    assert!(
        lines
            .iter()
            .any(|line| is_wget(line) && line["status"] == 401)
    );
}

fn is_wget(line: &serde_json::Value) -> bool {
    let agent = line["user_agent"].as_str();
    agent.is_some_and(|agent| agent.starts_with("Wget"))
}

#[test]
fn whoever_is_not_known_is_asked_for_a_name_and_a_password() {
    let users = Users::of(&format!("# staff\n{ANN}"));
    let server = start(&users, &[("f", b"content"), ("d/x", b"")], &[]);
    let mut client = server.connect();
    for fields in [
        "".to_owned(),
        basic("ann:wrong"),
        basic("ann:"),
        basic("ann:secretx"),
        basic("Ann:secret"),
        basic("nobody:secret"),
        basic("ann"),
        basic("ann:secret\n"),
        basic(&format!("ann:{}", "x".repeat(2000))),
        "Authorization: Basic\r\n".to_owned(),
        "Authorization: Basic !!!\r\n".to_owned(),
        "Authorization: Bearer YW5uOnNlY3JldA==\r\n".to_owned(),
        "Authorization: YW5uOnNlY3JldA==\r\n".to_owned(),
        "Authorization: Digest username=\"ann\"\r\n".to_owned(),
        "Proxy-Authorization: Basic YW5uOnNlY3JldA==\r\n".to_owned(),
        // Which of them would count?
        basic("ann:secret") + &basic("ann:wrong"),
    ] {
        for target in ["/f", "/none", "/", "/d", "/d/", "/%zz", "/f?method=no"] {
            let response = ask(&mut client, target, &fields);
            assert_challenged(&response);
            assert_eq!(response.body, b"401 Unauthorized\n", "{fields}");
        }
        let head = server.head_with("/f", &fields);
        assert_challenged(&head);
    }
    for fields in [
        basic("ann:secret"),
        basic("ann:secret").replace("Basic", "bAsIc"),
        basic("ann:secret").replace("Authorization: Basic ", "AUTHORIZATION:  BASIC   "),
    ] {
        assert_eq!(ask(&mut client, "/f", &fields).body, b"content");
        assert_eq!(ask(&mut client, "/none", &fields).status, 404);
        assert_eq!(ask(&mut client, "/d", &fields).status, 301);
        assert_eq!(ask(&mut client, "/%zz", &fields).status, 400);
        let listing = ask(&mut client, "/d/", &fields);
        assert!(String::from_utf8_lossy(&listing.body).contains("href=\"x\""));
        let part = ask(&mut client, "/f", &format!("{fields}Range: bytes=1-2\r\n"));
        assert_eq!((part.status, &part.body[..]), (206, &b"on"[..]));
        assert_eq!(
            server.head_with("/f", &fields).field("content-length"),
            Some("7")
        );
    }
}

#[test]
fn what_says_nothing_of_files_needs_no_password() {
    let users = Users::of(ANN);
    let server = start(&users, &[("f", b"content")], &["--cors"]);
    let preflight = "OPTIONS /f HTTP/1.1\r\nHost: t\r\nOrigin: https://a.example\r\n\
                     Access-Control-Request-Method: GET\r\n\
                     Access-Control-Request-Headers: authorization\r\n\r\n";
    let response = server.request(preflight);
    assert_eq!(response.status, 204);
    let allowed = response
        .field("access-control-allow-headers")
        .expect("a list");
    assert!(allowed.contains("Authorization"), "{allowed}");
    // The script can read that it needs a password, and come with one.
    let origin = "Origin: https://a.example\r\n";
    let refused = server.get_with("/f", origin);
    assert_challenged(&refused);
    assert_eq!(refused.field("access-control-allow-origin"), Some("*"));
    let response = server.get_with("/f", &(origin.to_owned() + &basic("ann:secret")));
    assert_eq!(response.body, b"content");
    let post = server.request("POST /f HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(post.status, 405);
}

#[test]
fn a_401_has_its_page_and_other_pages_are_for_users() {
    let users = Users::of(ANN);
    let files: [(&str, &[u8]); 2] = [("401.html", b"<p>who?"), ("404.html", b"<p>gone")];
    let options = [
        "--error-page",
        "401=401.html",
        "--error-page",
        "404=404.html",
    ];
    let server = start(&users, &files, &options);
    for _ in 0..3 {
        for target in ["/none", "/404.html"] {
            let response = server.get_with(target, &basic("ann:wrong"));
            assert_challenged(&response);
            assert_eq!(response.body, b"<p>who?");
        }
        let response = server.get_with("/none", &basic("ann:secret"));
        assert_eq!(
            (response.status, &response.body[..]),
            (404, &b"<p>gone"[..])
        );
        assert_eq!(response.field("www-authenticate"), None);
    }
}

#[test]
fn the_cache_gives_nothing_to_strangers() {
    let users = Users::of(ANN);
    let server = start(&users, &[], &["--cache-ttl", "10m"]);
    server.write("f", b"content");
    server.wait_until_settled_by("/f", &basic("ann:secret"));
    let mut client = server.connect();
    let mut tag = String::new();
    for _ in 0..3 {
        let response = ask(&mut client, "/f", &basic("ann:secret"));
        assert_eq!(response.body, b"content");
        tag = response.field("etag").expect("a tag").to_owned();
    }
    let condition = format!("If-None-Match: {tag}\r\n");
    let known = ask(
        &mut client,
        "/f",
        &(condition.clone() + &basic("ann:secret")),
    );
    assert_eq!(known.status, 304);
    // On the same connection, and with what the cache has made ready.
    for fields in [String::new(), condition, "Range: bytes=0-0\r\n".to_owned()] {
        assert_challenged(&ask(&mut client, "/f", &fields));
        assert_challenged(&ask(&mut client, "/f", &(fields + &basic("ann:x"))));
    }
    // Pipelined behind one that is known.
    let known = format!("GET /f HTTP/1.1\r\nHost: t\r\n{}\r\n", basic("ann:secret"));
    client.send((known.clone() + "GET /f HTTP/1.1\r\nHost: t\r\n\r\n" + &known).as_bytes());
    let codes = [(); 3].map(|()| client.response(false).status);
    assert_eq!(codes, [200, 401, 200]);
}

/// A configuration file beside the roots `main`, `open` and `own`, each with a file `f` of its name.
struct Sites {
    watched: Watched,
}

impl Sites {
    fn start(lines: &str) -> Self {
        let directory = temp_root();
        let path = |name: &str| directory.path().join(name);
        for name in ["main", "open", "own"] {
            std::fs::create_dir(path(name)).expect("a directory");
            std::fs::write(path(name).join("f"), name).expect("a file");
        }
        for (name, lines) in [
            ("ann", ANN),
            ("bob", BOB),
            ("slow", SLOW),
            ("zc.toml", lines),
        ] {
            std::fs::write(path(name), lines).expect("a file");
        }
        let mut command = binary();
        // Relative paths begin there, although the server leaves it.
        command.current_dir(directory.path());
        command.args(["--config", "zc.toml", "--bind", "127.0.0.1:0"]);
        command.args(["--admin-bind", "127.0.0.1:0", "--threads", "1"]);
        Self {
            watched: Watched::of(Server::start_from(command, directory)),
        }
    }

    fn get(&self, host: &str, target: &str, fields: &str) -> Response {
        let fields = format!("Host: {host}\r\nConnection: close\r\n{fields}");
        let server = &self.watched.server;
        server.request(&format!("GET {target} HTTP/1.1\r\n{fields}\r\n"))
    }
}

#[test]
fn each_site_has_its_users_or_none() {
    let sites = Sites::start(
        "root = \"main\"\nauth-file = \"ann\"\n\
         [[site]]\nhost = \"open.example\"\nroot = \"open\"\nauth-file = \"off\"\n\
         [[site]]\nhost = \"own.example\"\nroot = \"own\"\nauth-file = \"bob\"\n\
         [[site]]\nhost = \"same.example\"\nroot = \"open\"\n",
    );
    let (ann, bob) = (basic("ann:secret"), basic("bob:other"));
    for (host, fields, body) in [
        ("main.example", &ann, Some("main")),
        ("main.example", &bob, None),
        ("open.example", &String::new(), Some("open")),
        ("open.example", &bob, Some("open")),
        ("own.example", &bob, Some("own")),
        ("own.example", &ann, None),
        ("same.example", &ann, Some("open")),
        ("same.example", &String::new(), None),
    ] {
        for _ in 0..2 {
            let response = sites.get(host, "/f", fields);
            match body {
                Some(body) => assert_eq!(response.body, body.as_bytes(), "{host}"),
                None => assert_challenged(&response),
            }
        }
    }
    // Of two sites with the same file the one knows what the other has checked.
    assert_eq!(sites.watched.value(GRANTED), 2.0);
    assert_eq!(sites.watched.value(DENIED), 2.0);
}

#[test]
fn a_password_is_checked_once_and_remembered_right_or_wrong() {
    let users = Users::of(&format!("{ANN}{SLOW}"));
    let of_users = users.option();
    let watched = Watched::start(&[("f", &[7; 100_000])], &[&of_users, "--threads", "2"]);
    let server = &watched.server;
    // All at once, before anybody knows.
    let slow = basic("slow:secret");
    let clients: Vec<Client> = (0..16)
        .map(|part| {
            let mut client = server.connect();
            let range = format!("Range: bytes={part}000-{part}999\r\n");
            let request = format!("GET /f HTTP/1.1\r\nHost: t\r\n{range}{slow}\r\n");
            client.send(request.as_bytes());
            client
        })
        .collect();
    for mut client in clients {
        assert_eq!(client.response(false).status, 206);
    }
    assert_eq!((watched.value(GRANTED), watched.value(DENIED)), (1.0, 0.0));
    let mut client = server.connect();
    for _ in 0..20 {
        assert_eq!(ask(&mut client, "/f", &basic("ann:secret")).status, 200);
        // Neither a field that is none, nor its absence, takes a check.
        assert_eq!(ask(&mut client, "/f", "").status, 401);
        assert_eq!(
            ask(&mut client, "/f", "Authorization: Basic x\r\n").status,
            401
        );
    }
    assert_eq!((watched.value(GRANTED), watched.value(DENIED)), (2.0, 0.0));
    for number in 1..=3 {
        let wrong = basic(&format!("ann:wrong{number}"));
        assert_challenged(&ask(&mut client, "/f", &wrong));
        assert_eq!(watched.value(DENIED), f64::from(number));
    }
    // Unknown names are checked as well.
    assert_challenged(&ask(&mut client, "/f", &basic("nobody:x")));
    assert_eq!((watched.value(GRANTED), watched.value(DENIED)), (2.0, 4.0));
}

#[test]
fn a_flood_of_wrong_passwords_hinders_neither_files_nor_other_clients() {
    let sites = Sites::start(
        "root = \"main\"\nauth-file = \"slow\"\ntrusted-proxy = \"127.0.0.1\"\n\
         [[site]]\nhost = \"open.example\"\nroot = \"open\"\nauth-file = \"off\"\n",
    );
    let watched = &sites.watched;
    let flood: Vec<Client> = (0..100)
        .map(|number| {
            let mut client = watched.server.connect();
            let fields = basic(&format!("slow:{number}"));
            let client_field = "X-Forwarded-For: 192.0.2.1\r\n";
            let request = format!("GET /f HTTP/1.1\r\nHost: t\r\n{client_field}{fields}\r\n");
            client.send(request.as_bytes());
            client
        })
        .collect();
    let waiting = "zc_disk_queue_jobs{pool=\"auth\"}";
    crate::harness::wait_until("the flood waits", || watched.value(waiting) > 50.0);
    // Half of the threads are left to others.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = (cores / 2).clamp(2, 16);
    let busy = watched.value("zc_disk_queue_threads_busy{pool=\"auth\"}");
    assert!(busy <= threads.div_ceil(2) as f64, "{busy} of {threads}");
    // A listing takes a thread of the disk.
    for (target, status) in [("/f", 200), ("/", 200), ("/none", 404)] {
        assert_eq!(sites.get("open.example", target, "").status, status);
    }
    // Another client need not wait for the flood.
    let other = format!("X-Forwarded-For: 192.0.2.2\r\n{}", basic("slow:secret"));
    assert_eq!(sites.get("main.example", "/f", &other).body, b"main");
    assert!(watched.value(waiting) > 50.0, "the flood waits still");
    assert_eq!(watched.value(GRANTED), 1.0);
    // Nobody checks for who is gone.
    for client in flood {
        let socket = socket2::SockRef::from(&client.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("a socket");
    }
    watched.wait_for(waiting, 0.0);
    assert!(watched.value(DENIED) < 50.0);
}

#[test]
fn who_comes_to_a_full_queue_is_asked_to_come_again() {
    let sites = Sites::start("root = \"main\"\nauth-file = \"slow\"\n");
    let server = &sites.watched.server;
    let mut flood = server.connect();
    let mut others = Vec::new();
    // Of 512 places one client may have 256.
    for number in 0..300 {
        let fields = basic(&format!("slow:{number}"));
        let mut client = server.connect();
        client.send(format!("GET /f HTTP/1.1\r\nHost: t\r\n{fields}\r\n").as_bytes());
        others.push(client);
    }
    let refused = "zc_disk_queue_refused_total{pool=\"auth\"}";
    crate::harness::wait_until("some are refused", || sites.watched.value(refused) >= 10.0);
    let response = ask(&mut flood, "/f", &basic("slow:another"));
    assert_eq!(
        (response.status, response.field("retry-after")),
        (503, Some("1"))
    );
}

#[test]
fn the_file_is_read_again_on_sighup_and_a_wrong_one_changes_nothing() {
    let users = Users::of(ANN);
    let of_users = users.option();
    // There is no configuration file to be read.
    let mut watched = Watched::start(&[("f", b"content")], &[&of_users]);
    let status = |watched: &Watched, credentials: &str| {
        watched.server.get_with("/f", &basic(credentials)).status
    };
    let both = |watched: &Watched| [status(watched, "ann:secret"), status(watched, "bob:other")];
    assert_eq!(both(&watched), [200, 401]);
    let reload = |watched: &mut Watched, lines: &str| {
        users.write(lines);
        watched.server.signal(Signal::SIGHUP);
        watched.server.said_with("the configuration ")
    };
    let said = reload(&mut watched, BOB);
    assert!(said.contains("was read again"), "{said}");
    // What was remembered of the earlier file counts no more.
    assert_eq!(both(&watched), [401, 200]);
    let wrong = format!("{ANN}eve:$apr1$x$y\n");
    let said = reload(&mut watched, &wrong);
    let path = users.path();
    let expected = format!(
        "the configuration stays as it was: --auth-file: {}:2: the password of `eve` is MD5, and only bcrypt is \
         read; set it again with htpasswd -B",
        path.display()
    );
    assert!(said.contains(&expected), "{said}");
    assert_eq!(both(&watched), [401, 200]);
    assert_eq!(watched.value("zc_config_last_reload_successful"), 0.0);
    // With nobody in it nobody comes in.
    reload(&mut watched, "");
    assert_eq!(both(&watched), [401, 401]);
}

#[test]
fn no_file_is_read_again_without_a_reload() {
    let users = Users::of(ANN);
    let server = start(&users, &[("f", b"content")], &[]);
    std::fs::remove_file(users.path()).expect("a file");
    assert_eq!(server.get_with("/f", &basic("ann:secret")).status, 200);
}

/// What a server says that does not start.
fn refused(options: &[&str], root: &Path) -> String {
    let mut command = binary();
    command
        .args(["--bind", "127.0.0.1:0"])
        .args(options)
        .arg(root);
    let output = command.output().expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).expect("UTF-8")
}

#[test]
fn a_file_that_cannot_be_used_keeps_the_server_from_starting() {
    let users = Users::of(&format!("{ANN}ann:x\n"));
    let root = temp_root();
    let said = refused(&[&users.option()], root.path());
    assert!(
        said.contains("users:2: the password of `ann` is plain text"),
        "{said}"
    );
    assert!(!said.contains("ann:x"), "{said}");
    users.write(&format!("{ANN}\n{ANN}"));
    let said = refused(&[&users.option()], root.path());
    assert!(
        said.contains(":3: the user `ann` is on line 1 already; remove one"),
        "{said}"
    );
    let mut check = binary();
    check.args(["check", &users.option()]).arg(root.path());
    let checked = check.output().expect("the program starts");
    assert_eq!(checked.status.code(), Some(1));
    std::fs::remove_file(users.path()).expect("a file");
    let said = refused(&[&users.option()], root.path());
    assert!(said.contains("--auth-file: cannot read `"), "{said}");
    assert!(said.contains("make it with htpasswd -B -c"), "{said}");
    // It would be served.
    std::fs::create_dir(root.path().join("d")).expect("a directory");
    std::fs::write(root.path().join("d/users"), ANN).expect("a file");
    let inside = format!("--auth-file={}", root.path().join("d/users").display());
    let said = refused(&[&inside], root.path());
    assert!(said.contains("--auth-file `"), "{said}");
    assert!(said.contains("where it would be served; move it"), "{said}");
    // By way of a link, and below the root of a site.
    std::os::unix::fs::symlink(root.path().join("d/users"), users.path()).expect("a link");
    let other = temp_root();
    let site = format!("--site=a.example={}", root.path().display());
    let said = refused(&[&users.option(), &site], other.path());
    assert!(said.contains("where it would be served; move it"), "{said}");
}

#[test]
fn hashes_of_other_kinds_that_htpasswd_makes_are_refused() {
    let Some(home) = Home::for_clients(&["htpasswd"]) else {
        return;
    };
    let root = temp_root();
    for (option, kind) in [
        ("-m", "MD5"),
        ("-s", "SHA-1"),
        ("-d", "plain text, or DES of crypt"),
        ("-p", "plain text, or DES of crypt"),
    ] {
        home.succeed("htpasswd", &["-bc", option, "users", "ann", "secret"]);
        let file = format!("--auth-file={}", home.path("users").display());
        let said = refused(&[&file], root.path());
        assert!(
            said.contains(&format!("`ann` is {kind}, and only bcrypt")),
            "{said}"
        );
    }
}

#[test]
fn who_starts_a_server_is_warned_of_what_gives_passwords_away() {
    use std::os::unix::fs::PermissionsExt;
    let users = Users::of(ANN);
    let warnings = |options: &[&str]| {
        let root = temp_root();
        let mut command = binary();
        command.arg("check").arg(users.option()).args(options);
        let output = command
            .arg(root.path())
            .output()
            .expect("the program starts");
        assert!(output.status.success());
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        [
            "every user of this machine can read",
            "without encryption",
            "lets shared caches keep",
        ]
        .map(|words| said.contains(words))
    };
    let permit = |mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(users.path(), permissions).expect("chmod");
    };
    permit(0o644);
    assert_eq!(warnings(&["--bind", "8080"]), [true, false, false]);
    permit(0o640);
    assert_eq!(warnings(&["--bind", "8080"]), [false; 3]);
    assert_eq!(warnings(&["--bind", ":8080"]), [false, true, false]);
    let behind = ["--bind", ":8080", "--trusted-proxy", "10.0.0.0/8"];
    assert_eq!(warnings(&behind), [false; 3]);
    let shared = ["--cache-control", "*=public, max-age=60"];
    assert_eq!(warnings(&shared), [false, false, true]);
    assert_eq!(
        warnings(&["--cache-control", "*=private, max-age=60"]),
        [false; 3]
    );
}

#[cfg(feature = "tls")]
#[test]
fn redirects_to_https_and_certificate_authorities_come_before_passwords() {
    let users = Users::of(ANN);
    let webroot = temp_root();
    let tokens = webroot.path().join(".well-known/acme-challenge");
    std::fs::create_dir_all(&tokens).expect("a directory");
    std::fs::write(tokens.join("token"), "answer").expect("a file");
    let webroot = webroot.path().to_str().expect("UTF-8");
    let tls = ["--tls-self-signed", "--tls-bind", "127.0.0.1:0"];
    let options = [&tls[..], &["--acme-webroot", webroot]].concat();
    let server = start(&users, &[("f", b"content")], &options);
    assert_eq!(
        server.get("/.well-known/acme-challenge/token").body,
        b"answer"
    );
    assert_eq!(server.get("/.well-known/acme-challenge/none").status, 404);
    assert_challenged(&server.get("/.well-known/f"));
    let redirecting = start(
        &users,
        &[("f", b"content")],
        &[&tls[..], &["--redirect-http"]].concat(),
    );
    let response = redirecting.get("/f");
    assert_eq!(
        (response.status, response.field("www-authenticate")),
        (308, None)
    );
}
