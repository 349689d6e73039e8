//! The files of the packages, laid out as below `/usr`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::artifacts::root;

/// Where shells look for completions, below `/usr`.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "share/bash-completion/completions/zc-server"),
    ("zsh", "share/zsh/vendor-completions/_zc-server"),
    ("fish", "share/fish/vendor_completions.d/zc-server.fish"),
];
/// What is read and not run, of the repository.
const DOCUMENTS: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"];
/// The units in deploy/, which name the binary where who builds it puts it.
const BINARY_OF_DEPLOY: &str = "/usr/local/bin/zc-server";

/// A directory with all files of a package.
#[derive(Debug)]
pub(super) struct Tree {
    path: PathBuf,
}

impl Tree {
    /// Makes it anew at `path`.
    pub(super) fn lay_out(path: &Path, binary: &Path) -> anyhow::Result<Self> {
        if path.exists() {
            fs::remove_dir_all(path).with_context(|| format!("cannot empty {}", path.display()))?;
        }
        let tree = Self {
            path: path.to_owned(),
        };
        tree.put("usr/bin/zc-server", &fs::read(binary)?, 0o755)?;
        for (shell, place) in COMPLETIONS {
            let output = Command::new(binary).args(["completions", shell]).output()?;
            ensure!(output.status.success(), "no completions for {shell}");
            tree.put(&format!("usr/{place}"), &output.stdout, 0o644)?;
        }
        crate::man::write(&tree.usr().join("share/man/man1"))?;
        for name in DOCUMENTS {
            let text = fs::read(root().join(name))?;
            tree.put(&format!("usr/share/doc/zc-server/{name}"), &text, 0o644)?;
        }
        tree.take_deploy(Path::new("deploy"))?;
        tree.put_units()?;
        Ok(tree)
    }

    /// What is below `/usr`, or any other prefix.
    pub(super) fn usr(&self) -> PathBuf {
        self.path.join("usr")
    }

    pub(super) fn binary(&self) -> PathBuf {
        self.path.join("usr/bin/zc-server")
    }

    fn put(&self, place: &str, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
        let path = self.path.join(place);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        Ok(())
    }

    /// The files of deploy/, as they are.
    fn take_deploy(&self, directory: &Path) -> anyhow::Result<()> {
        for entry in fs::read_dir(root().join(directory))? {
            let entry = entry?;
            let path = directory.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                self.take_deploy(&path)?;
            } else {
                let place = format!("usr/share/doc/zc-server/{}", path.display());
                self.put(&place, &fs::read(entry.path())?, 0o644)?;
            }
        }
        Ok(())
    }

    /// What the `.deb` has besides: units for the binary where a package puts it, and their configuration.
    fn put_units(&self) -> anyhow::Result<()> {
        let systemd = root().join("deploy/systemd");
        for name in ["zc.service", "zc.socket", "zc-https.socket"] {
            let text = fs::read_to_string(systemd.join(name))?;
            self.put(
                &format!("systemd/{name}"),
                packaged(&text).as_bytes(),
                0o644,
            )?;
        }
        self.put("etc/zc/zc.toml", &fs::read(systemd.join("zc.toml"))?, 0o644)
    }
}

/// A unit as a package has it.
fn packaged(unit: &str) -> String {
    unit.replace(BINARY_OF_DEPLOY, "/usr/bin/zc-server")
        .replace("/etc/systemd/system/", "/usr/lib/systemd/system/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_has_every_file_and_no_unit_names_another_place() {
        let place = tempfile::tempdir().expect("a directory");
        let binary = place.path().join("program");
        fs::write(&binary, "#!/bin/sh\necho \"# $1 $2\"\n").expect("a file");
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).expect("chmod");
        let tree = Tree::lay_out(&place.path().join("tree"), &binary).expect("a tree");
        // Once more: nothing of an earlier one is left.
        fs::write(tree.path.join("usr/old"), "").expect("a file");
        let tree = Tree::lay_out(&tree.path, &binary).expect("a tree");
        assert!(!tree.path.join("usr/old").exists());
        let read = |name: &str| fs::read_to_string(tree.path.join(name)).expect(name);
        for (shell, name) in COMPLETIONS {
            assert_eq!(
                read(&format!("usr/{name}")),
                format!("# completions {shell}\n")
            );
        }
        let unit = read("systemd/zc.service");
        assert!(unit.contains("ExecStart=/usr/bin/zc-server "), "{unit}");
        assert!(!unit.contains("/usr/local/"), "{unit}");
        assert!(read("usr/share/man/man1/zc-server.1").contains(".TH zc-server"));
        assert!(read("usr/share/doc/zc-server/deploy/haproxy/haproxy.cfg").contains("backend"));
        assert!(read("etc/zc/zc.toml").contains("root ="));
        let mode = fs::metadata(tree.binary()).expect("a file").permissions();
        assert_eq!(mode.mode() & 0o777, 0o755);
    }
}
