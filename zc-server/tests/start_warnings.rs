//! The server as a library: it returns what it has to say, and prints nothing.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use zc_server::config::Congestion;
use zc_server::{Config, Server, StartWarning};

/// Fewer descriptors than 8,192 connections need, and enough to start.
const LIMIT: u64 = 256;

#[test]
fn a_limit_of_descriptors_that_is_too_low_is_returned_as_a_warning() {
    let root = tempfile::tempdir().expect("a directory");
    let mut config = Config::for_root(root.path()).expect("a root");
    config.binds = vec!["127.0.0.1:0".parse().expect("an address")];
    config.threads = 1;
    // BBR has a warning of its own.
    config.network.congestion = Congestion::Cubic;
    config.connections_max = 10;
    let warnings = |config: &Config| {
        let server = Server::bind(config.clone()).expect("a server");
        server.warnings().to_vec()
    };
    assert_eq!(warnings(&config), []);
    // For good, and for this process: it has this one test.
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, soft.min(LIMIT), hard.min(LIMIT)).expect("a lower limit");
    config.connections_max = 8192;
    let warnings = warnings(&config);
    let [
        StartWarning::Descriptors {
            connections_max: 8192,
            needed,
            limit: LIMIT,
        },
    ] = warnings[..]
    else {
        panic!("{warnings:?}");
    };
    assert!(needed >= 2 * 8192, "{needed}");
}
