//! Mounts that serve files badly: file systems of another program, local disks whose device does not
//! answer, overlays, and file systems that come and go while the server runs.
//!
//! Each constructor returns `None`, and prints why, where it is refused. All is unmounted when it is
//! dropped, also by a test that fails. A server whose thread waits for a mount ends only when that
//! answers: release it before the server is dropped.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use zc_bench::slow_fs::{Content, SlowFs, Treatment};

use super::{temp_root, wait_until};

/// A file system that does what it is told, at `point`.
pub(crate) fn slow_fs(point: &Path) -> Option<SlowFs> {
    let mounted = SlowFs::mount(point);
    mounted
        .map_err(|error| println!("no FUSE here ({error}): nothing to test"))
        .ok()
}

/// A file system in memory, at `point`.
pub(crate) fn tmpfs(point: &Path) -> Option<Mounted> {
    Mounted::new("tmpfs", point, MsFlags::empty(), "mode=755")
}

/// The same with room for so many bytes.
pub(crate) fn small_tmpfs(point: &Path, bytes: u64) -> Option<Mounted> {
    let options = format!("mode=755,size={bytes}");
    Mounted::new("tmpfs", point, MsFlags::empty(), &options)
}

/// A file system at `point` that shows the files of `lower`, and cannot be written to.
pub(crate) fn overlay(point: &Path, lower: &Path) -> Option<Overlay> {
    // One without an upper directory needs two lower ones.
    let below = temp_root();
    let options = format!("lowerdir={}:{}", lower.display(), below.path().display());
    let mounted = Mounted::new("overlay", point, MsFlags::MS_RDONLY, &options)?;
    Some(Overlay {
        _mounted: mounted,
        _below: below,
    })
}

/// An overlay; see [`overlay`].
pub(crate) struct Overlay {
    _mounted: Mounted,
    _below: tempfile::TempDir,
}

/// Something mounted here, which is unmounted when it is dropped: at once for whoever looks at the path,
/// and for who has a file of it open when he closes that.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    fn new(kind: &str, point: &Path, flags: MsFlags, options: &str) -> Option<Self> {
        match mount(Some("zc-test"), point, Some(kind), flags, Some(options)) {
            Ok(()) => Some(Self(point.to_owned())),
            Err(errno) => {
                println!("{kind} cannot be mounted here ({errno}): nothing to test");
                None
            }
        }
    }

    /// Unmounts it as soon as it is not in use, so that nothing of it is left.
    pub(crate) fn unmount(self) {
        wait_until("it is unmounted", || {
            match umount2(&self.0, MntFlags::empty()) {
                Ok(()) => true,
                Err(Errno::EBUSY) => false,
                Err(errno) => panic!("{} is not unmounted: {errno}", self.0.display()),
            }
        });
        std::mem::forget(self);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// A local disk whose device does what it is told: an image of ext4 in a file of a [`SlowFs`], behind a
/// loop device, mounted to be read.
pub(crate) struct LoopDisk {
    mounted: Option<Mounted>,
    /// Its reads are those of the device.
    pub(crate) device: SlowFs,
    _directory: tempfile::TempDir,
}

impl LoopDisk {
    /// A disk of so many bytes, at `point`, with the files that `fill` makes in a directory.
    pub(crate) fn mount(point: &Path, bytes: u64, fill: impl FnOnce(&Path)) -> Option<Self> {
        let directory = temp_root();
        let [files, image, outer] =
            ["files", "image", "outer"].map(|name| directory.path().join(name));
        for made in [&files, &outer] {
            std::fs::create_dir(made).expect("a directory");
        }
        fill(&files);
        let made = std::fs::File::create(&image).and_then(|file| file.set_len(bytes));
        made.expect("room");
        let mut make = Command::new("/usr/sbin/mkfs.ext4");
        make.args(["-q", "-O", "^has_journal", "-d"]);
        succeeds(make.arg(&files).arg(&image))?;
        let device = slow_fs(&outer)?;
        let image = std::fs::read(&image).expect("a file");
        device.add("image", Content::Bytes(image.into()));
        // What the outer file system has in memory would answer for the device.
        device.keep_out_of_memory("image");
        let mut mount = Command::new("mount");
        // The loop device goes when it is unmounted.
        mount.args(["-o", "loop,ro"]);
        succeeds(mount.arg(outer.join("image")).arg(point))?;
        Some(Self {
            mounted: Some(Mounted(point.to_owned())),
            device,
            _directory: directory,
        })
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // What is read of the device, and its end, wait for this.
        self.device.treat_all(Treatment::Answer);
        let mounted = self.mounted.take().expect("taken here alone");
        if std::thread::panicking() {
            // Whoever uses it may have been left behind.
            drop(mounted);
        } else {
            mounted.unmount();
        }
    }
}

/// Runs the command; `None` where it does not do what it is told, and says why.
fn succeeds(command: &mut Command) -> Option<()> {
    let said = match command.output() {
        Ok(output) if output.status.success() => return Some(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    println!("nothing to test: {command:?}: {said}");
    None
}
