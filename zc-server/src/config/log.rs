//! The access log: its format, and where it goes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::error::ConfigError;

/// The socket of the syslog daemon, as in `syslog(3)`.
pub(crate) const SYSLOG_SOCKET: &str = "/dev/log";
/// The socket of journald for its own protocol.
pub(crate) const JOURNALD_SOCKET: &str = "/run/systemd/journal/socket";
/// The most links that the path of a file may have, as in `path_resolution(7)`.
const LINKS_MAX: usize = 40;

/// The form of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// No access log.
    #[value(help = None::<&'static str>)]
    #[default]
    Off,
    /// Common log format, as Apache and nginx write it.
    Clf,
    /// Combined log format, then host, send path, microseconds and outcome.
    Combined,
    /// One JSON object per line.
    Json,
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LogTarget {
    /// Standard output.
    #[default]
    Stdout,
    /// A file, which is appended to. Its path is absolute: the program leaves the directory that it is started in.
    File(PathBuf),
    /// The syslog daemon at this socket.
    Syslog(PathBuf),
    /// journald at this socket, by its own protocol.
    Journald(PathBuf),
}

/// Refuses a log file that would be served: one below a root, or with a link on its way that is below one.
pub(crate) fn refuse_served_log<'r>(
    target: &LogTarget,
    roots: impl Iterator<Item = &'r Path>,
) -> Result<(), ConfigError> {
    let LogTarget::File(file) = target else {
        return Ok(());
    };
    let identity = |path: &Path| Some(fs::metadata(path).ok()?).map(|at| (at.dev(), at.ino()));
    let roots = roots.filter_map(|root| Some((root, identity(root)?)));
    let roots = Vec::from_iter(roots);
    for place in places(file) {
        // A directory may have several names, by bind mounts.
        let mut above = place.ancestors().filter_map(identity);
        let served = above.find_map(|found| roots.iter().find(|(_, root)| *root == found));
        if let Some((root, _)) = served {
            return Err(ConfigError::LogServed {
                file: file.clone(),
                root: (*root).to_owned(),
            });
        }
    }
    Ok(())
}

/// The file itself and the links that lead to it, each by the real path of its directory. What is not there is left
/// out.
fn places(file: &Path) -> Vec<PathBuf> {
    let mut places = Vec::new();
    let mut next = Some(file.to_owned());
    while let Some(path) = next.take().filter(|_| places.len() <= LINKS_MAX) {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            break;
        };
        let Ok(directory) = directory.canonicalize() else {
            break;
        };
        let place = directory.join(name);
        next = fs::read_link(&place).ok().map(|to| directory.join(to));
        places.push(place);
    }
    places
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_log_file_that_would_be_served_is_refused_whatever_links_lead_to_it() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        fs::create_dir_all(at("root/deep")).unwrap();
        fs::create_dir_all(at("logs")).unwrap();
        fs::write(at("single"), "x").unwrap();
        symlink("root", at("alias")).unwrap();
        symlink("root/deep", at("into")).unwrap();
        // A link to a file that is to be made.
        symlink("../root/new.log", at("logs/dangling")).unwrap();
        symlink("dangling", at("logs/twice")).unwrap();
        // It would be followed by who asks for it.
        symlink("../logs/real.log", at("root/out")).unwrap();
        symlink("loop", at("logs/loop")).unwrap();
        for (file, is_served) in [
            ("root/access.log", true),
            ("root/deep/access.log", true),
            ("alias/access.log", true),
            ("into/access.log", true),
            ("logs/dangling", true),
            ("logs/twice", true),
            ("root/out", true),
            ("logs/../root/access.log", true),
            ("single", true),
            ("logs/real.log", false),
            ("root/../logs/access.log", false),
            ("root.log", false),
            ("none/access.log", false),
            ("logs/loop", false),
        ] {
            let target = LogTarget::File(at(file));
            let roots = [at("alias"), at("single")];
            let answer = refuse_served_log(&target, roots.iter().map(PathBuf::as_path));
            assert_eq!(answer.is_err(), is_served, "{file}: {answer:?}");
        }
        let target = LogTarget::Syslog(at("root/socket"));
        assert!(refuse_served_log(&target, [&*at("root")].into_iter()).is_ok());
    }
}
