//! Pages that are made up, run with a program in the place of zc-server.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use super::commands::Isolation;
use super::*;

/// Prints a URL as zc-server does, and leaves a file when it is ended.
const SERVER: &str = "#!/bin/bash
trap 'echo ended >\"ended-$1\"; exit' TERM
echo \"  http://127.0.0.1:8080/\" >&2
touch \"runs-$1\"
for ((;;)); do sleep 0.01; done
";

/// A program that stands for zc-server.
struct Stand {
    directory: tempfile::TempDir,
}

impl Stand {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let program = directory.path().join("server");
        fs::write(&program, SERVER).expect("a program");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode");
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What is wrong with a page, each with and without a network of its own.
    fn faults(&self, text: &str, is_required: bool, block_max: Duration) -> Vec<String> {
        let server = self.path("server");
        let run = |isolation| {
            let runner = Runner {
                server: &server,
                isolation,
                block_max,
            };
            run_page(&runner, "docs/src/sample.md", text, is_required).expect("bash")
        };
        let faults = run(Isolation::Shared);
        let permitted = Isolation::permitted();
        if permitted != Isolation::Shared {
            assert_eq!(run(permitted), faults);
        }
        faults
    }
}

fn faults(text: &str) -> Vec<String> {
    Stand::new().faults(text, true, Duration::from_secs(60))
}

#[test]
fn a_page_is_run_in_one_shell_and_an_empty_directory() {
    let page = "# A\n\n```sh\n[ -z \"$(ls -A)\" ]\nmkdir site\ncd site\nname=a\n```\n\n<!-- in the background -->\n\
                ```sh\nzc-server one\n```\n\n```sh\n[ \"$name\" = a ]\n[ \"$(basename \"$PWD\")\" = site ]\n\
                until [ -e runs-one ]; do sleep 0.01; done\n[ \"$(cat | wc -c)\" = 0 ]\n```\n\n\
                <!-- not run: fails -->\n```sh\nfalse\n```\n\n```text\nfalse\n```\n";
    assert_eq!(faults(page), [""; 0]);
}

#[test]
fn a_wrong_command_is_told_with_page_line_and_output() {
    let page = "# A\n\n```sh\ntrue\n```\n\n```sh\necho said\necho wrong >&2; test \\\n  1 = 2\nfalse\n```\n";
    let found = faults(page);
    assert_eq!(
        found,
        [
            "docs/src/sample.md:9: failed with status 1: echo wrong >&2; test \\\n  1 = 2\n    said\n    wrong"
        ]
    );
    let found = faults("```sh\ntrue\nexit 3\n```\n");
    assert_eq!(
        found,
        ["docs/src/sample.md:2: failed with status 3: true\n    "]
    );
}

#[test]
fn a_server_is_ended_before_the_next_of_its_port_and_at_the_end_of_the_page() {
    let stand = Stand::new();
    let out = stand.path("out");
    fs::create_dir(&out).expect("a directory");
    let server =
        |words: &str| format!("<!-- in the background -->\n```sh\nzc-server {words}\n```\n\n");
    let page = format!(
        "```sh\ncd '{}'\nrm -f ended-*\n```\n\n{}{}```sh\n[ ! -e ended-one ]\n[ ! -e ended-two ]\n```\n\n{}\
         ```sh\n[ -e ended-one ]\n[ ! -e ended-two ]\n```\n",
        out.display(),
        server("one"),
        server("two --bind :81"),
        server("three --bind 127.0.0.1:8080"),
    );
    assert_eq!(stand.faults(&page, true, Duration::from_secs(60)), [""; 0]);
    for name in ["ended-one", "ended-two", "ended-three"] {
        assert!(out.join(name).exists(), "{name}");
    }
}

#[test]
fn a_server_that_ends_by_itself_is_told() {
    let page = "# A\n\n<!-- in the background -->\n```sh\necho no root >&2; exit 1\n```\n\n```sh\ntrue\n```\n";
    let wanted =
        "docs/src/sample.md:5: failed with status 1: echo no root >&2; exit 1\n    no root";
    assert_eq!(faults(page), [wanted]);
    // Later, while the page goes on.
    let page = "<!-- in the background -->\n```sh\necho http://a/; until [ -e go ]; do sleep 0.01; done; exit 4\n\
                ```\n\n```sh\ntouch go\nwhile kill -0 ${_book_servers%% *} 2>/dev/null; do sleep 0.01; done\n```\n";
    let found = faults(page);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("docs/src/sample.md:3: failed with status 4"),
        "{found:?}"
    );
}

#[test]
fn what_a_page_leaves_behind_ends_with_it() {
    let stand = Stand::new();
    let held = stand.path("held");
    let page = format!(
        "```sh\nexec 9>>'{0}'\nflock 9\nsleep infinity &\n```\n",
        held.display()
    );
    // The second run needs what the first has held.
    let wait = Duration::from_secs(60);
    assert_eq!(stand.faults(&page, true, wait), [""; 0]);
    let file = fs::File::open(&held).expect("a file");
    let began = std::time::Instant::now();
    while file.try_lock().is_err() {
        assert!(began.elapsed() < wait, "it is still held");
        std::thread::yield_now();
    }
}

#[test]
fn a_block_that_hangs_is_ended() {
    let stand = Stand::new();
    let page = "```sh\nsleep 600\n```\n";
    let found = stand.faults(page, true, Duration::from_millis(300));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("docs/src/sample.md:2: not over after 0 s"),
        "{found:?}"
    );
}

#[test]
fn a_program_that_is_not_installed_fails_where_all_are_required() {
    let page = "```sh\nno-such-program\n```\n\n```sh\nfalse\n```\n";
    let wait = Duration::from_secs(60);
    assert_eq!(Stand::new().faults(page, false, wait), [""; 0]);
    let found = Stand::new().faults(page, true, wait);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("sample.md:2: failed with status 127: no-such-program"),
        "{found:?}"
    );
    // The shell names the page.
    assert!(
        found[0].contains("sample.md: line 2: no-such-program"),
        "{found:?}"
    );
}

#[test]
fn a_page_is_chosen_by_its_path_or_its_name() {
    let all = pages(&root(), &[]).expect("pages");
    assert!(all.contains(&README.to_owned()));
    assert!(!all.contains(&SUMMARY.to_owned()));
    for name in ["docs/src/measuring.md", "measuring.md", "measuring"] {
        let found = pages(&root(), &[name.to_owned()]).expect("a page");
        assert_eq!(found, ["docs/src/measuring.md"]);
    }
    let refused = pages(&root(), &["nothing".to_owned()]).expect_err("no page");
    assert!(
        refused.to_string().contains("docs/src/options.md"),
        "{refused}"
    );
}

#[test]
fn another_mdbook_is_refused_with_the_command_that_installs_ours() {
    assert!(ensure_version(Some("mdbook v0.5.9")).is_ok());
    for said in [Some("mdbook v0.4.52"), Some("mdbook v1.5.0"), None] {
        let refused = ensure_version(said)
            .expect_err("another version")
            .to_string();
        let command = format!(
            "cargo install mdbook --debug --version {MDBOOK_VERSION} --locked --no-default-features --features search"
        );
        assert!(refused.contains(&command), "{refused}");
    }
}
