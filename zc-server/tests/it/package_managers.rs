//! apt, pip, npm and git take what they need from repositories that are nothing but files.

use std::collections::BTreeSet;
use std::path::Path;

use crate::harness::clients::{Home, answers, assert_same_files, said};
use crate::harness::tls::sent_by;
use crate::harness::{Server, pattern};

/// Packages of the repository for apt: more than one, so that requests are pipelined.
const DEBS: usize = 4;

/// What the tests of apt call.
const APT: [&str; 4] = ["apt-get", "apt-ftparchive", "dpkg-deb", "gzip"];
/// Anything that could not be fetched is an error and not a warning.
const UPDATE: [&str; 3] = ["update", "-o", "APT::Update::Error-Mode=any"];

/// Everything of apt in the home, and nothing of this system's.
const APT_CONF: &str = r#"
Dir "HOME/apt";
Dir::State::status "HOME/apt/status";
Dir::Etc::parts "/dev/null";
Dir::Etc::main "/dev/null";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::trustedparts "/dev/null";
Dir::Bin::methods "/usr/lib/apt/methods";
Dir::Log "HOME/apt";
APT::Architecture "amd64";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "0";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
Acquire::https::CaInfo "HOME/.authority.pem";
"#;

/// Builds packages and a repository of them: indices plain and compressed, and by their hashes.
fn write_repository(home: &Home, root: &Path) {
    let served = root.to_str().expect("UTF-8");
    let indices = "dists/stable/main/binary-amd64";
    for directory in ["pool", &format!("{indices}/by-hash/SHA256")] {
        std::fs::create_dir_all(root.join(directory)).expect("a directory");
    }
    for number in 0..DEBS {
        let tree = format!("package-{number}");
        let control = format!(
            "Package: zc-package-{number}\nVersion: 1.0\nArchitecture: all\n\
             Maintainer: Nobody <nobody@example.org>\nDescription: nothing but bytes\n"
        );
        home.write(&format!("{tree}/DEBIAN/control"), control.as_bytes());
        home.write(
            &format!("{tree}/usr/share/zc/{number}"),
            &pattern(200_000, number as u64),
        );
        let deb = format!("{served}/pool/zc-package-{number}_1.0_all.deb");
        home.succeed(
            "dpkg-deb",
            &["--root-owner-group", "-Znone", "--build", &tree, &deb],
        );
    }
    let in_root = |arguments: &[&str]| {
        let mut command = home.command("apt-ftparchive");
        command.current_dir(root).args(arguments);
        said(&command.output().expect("it starts"), "apt-ftparchive")
    };
    let packages = in_root(&["packages", "pool"]);
    std::fs::write(root.join(indices).join("Packages"), packages).expect("a file");
    home.succeed("gzip", &["-kn", &format!("{served}/{indices}/Packages")]);
    let release = in_root(&[
        "-o",
        "APT::FTPArchive::Release::Suite=stable",
        "-o",
        "APT::FTPArchive::Release::Components=main",
        "-o",
        "APT::FTPArchive::Release::Architectures=amd64",
        "-o",
        "APT::FTPArchive::Release::Acquire-By-Hash=yes",
        // The best hash is the one that files are asked for by.
        "-o",
        "APT::FTPArchive::SHA512=false",
        "release",
        "dists/stable",
    ]);
    let hashes = release.split("SHA256:").nth(1).expect("hashes");
    for name in ["Packages", "Packages.gz"] {
        let is_it = |line: &&str| line.ends_with(&format!(" main/binary-amd64/{name}"));
        let line = hashes.lines().find(is_it).expect("its hash");
        let hash = line.split_whitespace().next().expect("a hash");
        let indices = root.join(indices);
        std::fs::rename(
            indices.join(name),
            indices.join("by-hash/SHA256").join(hash),
        )
        .expect("it is there");
    }
    std::fs::write(root.join("dists/stable/Release"), release).expect("a file");
}

/// Gives one file the time of another.
fn copy_time(from: &Path, to: &Path) {
    let time = std::fs::metadata(from)
        .and_then(|file| file.modified())
        .expect("a time");
    let to = std::fs::File::options()
        .write(true)
        .open(to)
        .expect("a file");
    to.set_modified(time).expect("a time");
}

/// Prepares apt to know nothing but what the server has; answers how to call it.
fn private_apt<'a>(home: &'a Home, server: &Server) -> impl Fn(&[&str]) + use<'a> {
    let directory = home.path("");
    let directory = directory.to_str().expect("UTF-8").trim_end_matches('/');
    for needed in [
        "var/lib/apt/lists/partial",
        "var/cache/apt/archives/partial",
    ] {
        let path = home.path(&format!("apt/{needed}"));
        std::fs::create_dir_all(path).expect("a directory");
    }
    home.write("apt.conf", APT_CONF.replace("HOME", directory).as_bytes());
    home.write("apt/status", b"");
    let source = format!("deb [trusted=yes] {} stable main\n", server.url("/"));
    home.write("apt/etc/apt/sources.list", source.as_bytes());
    |arguments| {
        let mut command = home.command("apt-get");
        command
            .env("APT_CONFIG", home.path("apt.conf"))
            .args(arguments);
        said(&command.output().expect("it starts"), "apt-get");
    }
}

fn target(line: &serde_json::Value) -> &str {
    line["target"].as_str().expect("a target")
}

#[test]
fn apt_reads_a_repository_and_then_asks_only_whether_it_is_new() {
    let Some(home) = Home::for_clients(&APT) else {
        return;
    };
    let mut server = Server::start(&[]);
    let log = server.follow_log();
    write_repository(&home, server.root.path());
    let apt = private_apt(&home, &server);
    server.wait_until_settled("/dists/stable/Release");
    log.so_far(&server);
    apt(&UPDATE);
    let lines = log.so_far(&server);
    assert_eq!(
        answers(&lines)[..2],
        [("GET", 404), ("GET", 200)],
        "InRelease and Release"
    );
    let by_hash = |line: &&serde_json::Value| target(line).contains("/by-hash/SHA256/");
    assert_eq!(lines.iter().filter(by_hash).count(), 1, "{lines:#?}");
    apt(&UPDATE);
    let lines = log.so_far(&server);
    let is_same =
        |line: &serde_json::Value| line["status"] == 304 && target(line).ends_with("/Release");
    assert!(lines.iter().any(is_same), "{lines:#?}");
    assert!(lines.iter().all(|line| line["status"] != 200), "{lines:#?}");
}

#[test]
fn apt_fetches_packages_on_one_connection_and_resumes_one() {
    let Some(home) = Home::for_clients(&APT) else {
        return;
    };
    let mut server = Server::start(&[]);
    let log = server.follow_log();
    write_repository(&home, server.root.path());
    let apt = private_apt(&home, &server);
    apt(&UPDATE);
    // One of them was fetched in part before, and is the same since then by its date, which counts
    // only when it is not of this moment.
    let (half, whole) = ("zc-package-1_1.0_all.deb", "apt/var/cache/apt/archives");
    let pool = format!("/pool/{half}");
    server.wait_until_settled(&pool);
    let deb = std::fs::read(server.path(&pool[1..])).expect("a file");
    let partial = format!("{whole}/partial/{half}");
    home.write(&partial, &deb[..100_000]);
    copy_time(&server.path(&pool[1..]), &home.path(&partial));
    log.so_far(&server);

    let names: Vec<_> = (0..DEBS)
        .map(|number| format!("zc-package-{number}"))
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    apt(&[&["install", "--yes", "--download-only"], &names[..]].concat());
    std::fs::remove_file(home.path(&format!("{whole}/lock"))).expect("a lock");
    std::fs::remove_dir(home.path(&format!("{whole}/partial"))).expect("an empty directory");
    assert_same_files(&home.path(whole), &server.path("pool"));

    let lines = log.so_far(&server);
    let mut answers = answers(&lines);
    answers.sort_unstable();
    assert_eq!(
        answers,
        [[("GET", 200); DEBS - 1].as_slice(), &[("GET", 206)]].concat()
    );
    let resumed = lines
        .iter()
        .find(|line| line["status"] == 206)
        .expect("one");
    assert_eq!(
        (target(resumed), &resumed["bytes"]),
        (&pool[..], &(deb.len() - 100_000).into())
    );
    let connections: BTreeSet<_> = lines.iter().map(|line| line["remote"].as_str()).collect();
    assert_eq!(connections.len(), 1, "one connection, kept");
}

/// Builds a wheel as the specification has it: a ZIP with three files beside the module.
const WHEEL: &str = r#"
import sys, zipfile
info = "zc_wheel-1.0.dist-info"
files = {
    "zc_wheel/__init__.py": "ANSWER = 42\n",
    f"{info}/METADATA": "Metadata-Version: 2.1\nName: zc-wheel\nVersion: 1.0\n",
    f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: zc\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}
files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
with zipfile.ZipFile(sys.argv[1], "w") as wheel:
    for name, text in files.items():
        wheel.writestr(name, text)
    wheel.writestr("zc_wheel/data", open(sys.argv[2], "rb").read())
"#;

#[test]
fn pip_installs_from_an_index_that_is_a_listing() {
    let Some(home) = Home::for_clients(&["python3", "pip3"]) else {
        return;
    };
    let mut server = Server::start(&[]);
    let log = server.follow_log();
    let data = pattern(1 << 20, 9);
    home.write("data", &data);
    let name = "zc_wheel-1.0-py3-none-any.whl";
    let served = format!("simple/zc-wheel/{name}");
    std::fs::create_dir_all(server.path("simple/zc-wheel")).expect("a directory");
    let wheel = server.path(&served);
    home.succeed(
        "python3",
        &["-c", WHEEL, wheel.to_str().expect("UTF-8"), "data"],
    );

    let index = server.url("/simple");
    // It is told by this option alone where it is isolated.
    let authority = home.authority();
    let from_here = [
        "--isolated",
        "--disable-pip-version-check",
        "--no-cache-dir",
        "--no-deps",
        "--retries",
        "0",
        "--timeout",
        "30",
        "--index-url",
        &index,
        "--cert",
        &authority,
    ];
    let pip = |command: &str, to: [&str; 2]| {
        home.succeed(
            "pip3",
            &[&[command][..], &from_here, &to, &["zc-wheel"]].concat(),
        )
    };
    pip("download", ["--dest", "downloads"]);
    assert_eq!(
        home.read(&format!("downloads/{name}")),
        std::fs::read(&wheel).expect("a file")
    );
    pip("install", ["--target", "installed"]);
    let script =
        "import sys; sys.path.insert(0, 'installed'); import zc_wheel; print(zc_wheel.ANSWER)";
    assert_eq!(home.succeed("python3", &["-c", script]).trim(), "42");
    assert!(home.read("installed/zc_wheel/data") == data);

    let lines = log.so_far(&server);
    let fetched = |line: &&serde_json::Value| {
        line["target"] == format!("/{served}")
            && line["status"] == 200
            && line["send_path"] == sent_by("sendfile")
    };
    assert_eq!(lines.iter().filter(fetched).count(), 2, "{lines:#?}");
    assert!(lines.iter().any(
        |line| line["target"] == "/simple/zc-wheel/" && line["send_path"] == sent_by("memory")
    ));
}

#[test]
fn npm_installs_a_scoped_package_from_a_registry_of_files() {
    let Some(home) = Home::for_clients(&["npm", "node"]) else {
        return;
    };
    let mut server = Server::start(&[]);
    let log = server.follow_log();
    let data = pattern(300_000, 11);
    home.write("package/data", &data);
    home.write("package/index.js", b"module.exports = 42;\n");
    home.write(
        "package/package.json",
        br#"{"name": "@sc/pkg", "version": "1.2.3", "main": "index.js"}"#,
    );
    home.write("project/package.json", b"{}");
    let registry = format!("--registry={}", server.url("/"));
    let authority = format!("--cafile={}", home.authority());
    let npm = |directory: &str, cache: &str, arguments: &[&str]| {
        let cache = format!("--cache={}", home.path(cache).display());
        let quiet = [
            "--no-update-notifier",
            "--no-audit",
            "--no-fund",
            "--fetch-retries=0",
        ];
        let mut command = home.command("npm");
        command.current_dir(home.path(directory)).args(arguments);
        command.args(quiet).args([&registry, &cache, &authority]);
        said(&command.output().expect("it starts"), "npm")
    };

    // The document that npm asks for by `@sc%2fpkg` is a file in the directory `@sc`. What was packed
    // is in a cache of its own: it is to be fetched.
    let packed = npm("package", "packing", &["pack", "--json"]);
    let packed: serde_json::Value = serde_json::from_str(&packed).expect("JSON");
    let tarball = "/tarballs/sc-pkg-1.2.3.tgz";
    let document = serde_json::json!({
        "name": "@sc/pkg",
        "dist-tags": {"latest": "1.2.3"},
        "versions": {"1.2.3": {
            "name": "@sc/pkg",
            "version": "1.2.3",
            "dist": {"tarball": server.url(tarball), "integrity": packed[0]["integrity"]},
        }},
    });
    server.write("@sc/pkg", document.to_string().as_bytes());
    server.write(&tarball[1..], &home.read("package/sc-pkg-1.2.3.tgz"));

    let version = npm("project", "cache", &["view", "@sc/pkg", "version"]);
    assert_eq!(version.trim(), "1.2.3");
    npm("project", "cache", &["install", "@sc/pkg"]);
    let script = "console.log(require('./project/node_modules/@sc/pkg'))";
    assert_eq!(home.succeed("node", &["-e", script]).trim(), "42");
    assert!(home.read("project/node_modules/@sc/pkg/data") == data);

    let lines = log.so_far(&server);
    let sent = |target: &str| {
        let is_it = |line: &&serde_json::Value| line["target"] == target && line["status"] == 200;
        lines.iter().filter(is_it).count()
    };
    assert!(sent("/@sc%2fpkg") >= 1, "{lines:#?}");
    assert_eq!(sent(tarball), 1, "{lines:#?}");
}

#[test]
fn git_clones_and_pulls_over_dumb_http() {
    let Some(home) = Home::for_clients(&["git"]) else {
        return;
    };
    let mut server = Server::start(&[]);
    let log = server.follow_log();
    let git = |arguments: &[&str]| {
        let mut command = home.command("git");
        command
            .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_TERMINAL_PROMPT", "0")])
            .args([
                "-c",
                "user.name=Nobody",
                "-c",
                "user.email=nobody@example.org",
            ])
            .args(arguments);
        said(&command.output().expect("it starts"), "git")
    };
    let bare = server.path("repository.git");
    let bare = bare.to_str().expect("UTF-8");
    let commit = |number: u64| {
        home.write("work/changing", number.to_string().as_bytes());
        home.write(&format!("work/sub/{number}"), &pattern(300_000, number));
        git(&["-C", "work", "add", "--all"]);
        git(&["-C", "work", "commit", "--quiet", "--message", "a change"]);
        git(&[
            "-C",
            "work",
            "push",
            "--quiet",
            bare,
            "HEAD:refs/heads/main",
        ]);
    };
    git(&["init", "--quiet", "--bare", "--initial-branch=main", bare]);
    git(&["init", "--quiet", "--initial-branch=main", "work"]);
    // What is cloned is in a pack in part, and in part in files of its own.
    commit(1);
    git(&["-C", bare, "gc", "--quiet"]);
    commit(2);
    git(&["-C", bare, "update-server-info"]);

    let head = |directory: &str| git(&["-C", directory, "rev-parse", "HEAD"]);
    git(&["clone", "--quiet", &server.url("/repository.git"), "clone"]);
    assert_eq!(head("clone"), head("work"));
    git(&["-C", "clone", "fsck", "--strict"]);
    let lines = log.so_far(&server);
    let sent = |part: &str| {
        let is_it = |line: &&serde_json::Value| {
            let target = line["target"].as_str().expect("a target");
            target.starts_with(part) && line["status"] == 200
        };
        lines.iter().filter(is_it).count()
    };
    assert_eq!(sent("/repository.git/info/refs"), 1);
    assert!(
        sent("/repository.git/objects/pack/pack-") >= 2,
        "an index and its pack"
    );
    assert!(sent("/repository.git/objects/") > 4);

    commit(3);
    git(&["-C", bare, "update-server-info"]);
    git(&["-C", "clone", "pull", "--quiet", "--ff-only"]);
    assert_eq!(head("clone"), head("work"));
    for repository in ["clone", "work"] {
        std::fs::remove_dir_all(home.path(repository).join(".git")).expect("a repository");
    }
    assert_same_files(&home.path("clone"), &home.path("work"));
}
