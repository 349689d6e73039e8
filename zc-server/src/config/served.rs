//! Files that must not be served: they have secrets in them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::ConfigError;

/// The most links that the path of a file may have, as in `path_resolution(7)`.
const LINKS_MAX: usize = 40;

/// Refuses a file that would be served: one below a root, or with a link on its way that is below one. `what` says what
/// it is.
pub(crate) fn refuse_served<'r>(
    what: &'static str,
    file: &Path,
    roots: impl Iterator<Item = &'r Path>,
) -> Result<(), ConfigError> {
    let roots = roots.filter_map(|root| Some((root, identity(root)?)));
    let roots = Vec::from_iter(roots);
    for place in places(file) {
        // A directory may have several names, by bind mounts.
        let mut above = place.ancestors().filter_map(identity);
        let served = above.find_map(|found| roots.iter().find(|(_, root)| *root == found));
        if let Some((root, _)) = served {
            return Err(ConfigError::FileServed {
                what,
                file: file.to_owned(),
                root: (*root).to_owned(),
            });
        }
    }
    Ok(())
}

/// Whether both paths lead to one file, which is there.
pub(crate) fn is_same(one: &Path, other: &Path) -> bool {
    identity(one).is_some_and(|found| identity(other) == Some(found))
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|at| (at.dev(), at.ino()))
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
    fn a_file_that_would_be_served_is_refused_whatever_links_lead_to_it() {
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
            let roots = [at("alias"), at("single")];
            let answer = refuse_served("it", &at(file), roots.iter().map(PathBuf::as_path));
            assert_eq!(answer.is_err(), is_served, "{file}: {answer:?}");
        }
        let same = |one: &str, other: &str| is_same(&at(one), &at(other));
        assert!(same("alias", "root") && same("into", "root/deep"));
        assert!(!same("root", "logs") && !same("none", "none"));
    }
}
