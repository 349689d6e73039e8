//! The kinds of mounts that go bad, and how.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{
    BAD_FILES, BadMount, ask, check, check_with, evict, fill, fill_fuse, length, reset, target,
};
use crate::harness::mounts::{LoopDisk, Mounted, Overlay, overlay, slow_fs, tmpfs};
use crate::harness::{Client, Server, temp_root, wait_until};
use nix::libc::EIO;
use zc_bench::slow_fs::{Content, Operation, SlowFs, Treatment, pattern};

/// A FUSE mount whose operations are treated so.
struct Fuse {
    mount: SlowFs,
    operations: &'static [Operation],
    treatment: Treatment,
}

impl Fuse {
    fn new(point: &Path, operations: &'static [Operation], treatment: Treatment) -> Option<Self> {
        let mount = slow_fs(point)?;
        fill_fuse(&mount);
        Some(Self {
            mount,
            operations,
            treatment,
        })
    }
}

impl BadMount for Fuse {
    fn spoil(&mut self, _server: &Server) {
        for &operation in self.operations {
            self.mount.treat(operation, self.treatment);
        }
    }

    fn release(&mut self) {
        self.mount.treat_all(Treatment::Answer);
    }
}

const LATE: Treatment = Treatment::Delay(Duration::from_millis(100));

#[test]
fn a_fuse_mount_that_hangs() {
    check(|point| Fuse::new(&point, &Operation::ALL, Treatment::Hold));
}

#[test]
fn a_fuse_mount_whose_files_are_not_read() {
    check(|point| Fuse::new(&point, &[Operation::Read], Treatment::Hold));
}

#[test]
fn a_fuse_mount_whose_files_are_not_closed() {
    let closing = &[Operation::Close, Operation::Release];
    // Each is closed when it is sent, and none is kept.
    check_with(&["--cache-files", "0"], |point| {
        Fuse::new(&point, closing, Treatment::Hold)
    });
}

#[test]
fn a_fuse_mount_that_is_late() {
    check(|point| Fuse::new(&point, &Operation::ALL, LATE));
}

#[test]
fn a_fuse_mount_that_fails() {
    check(|point| Fuse::new(&point, &Operation::ALL, Treatment::Fail(EIO)));
}

/// A FUSE mount whose lengths are wrong.
struct Lying(SlowFs);

impl BadMount for Lying {
    fn spoil(&mut self, _server: &Server) {
        for seed in 0..BAD_FILES {
            let length = length(seed);
            let (there, excess) = match seed % 3 {
                0 => (length / 2, 0),
                1 => (length * 2, 0),
                _ => (length, 100),
            };
            let name = seed.to_string();
            self.0.set_content(
                &name,
                Content::Lie {
                    seed,
                    length,
                    there,
                    excess,
                },
            );
            self.0.keep_out_of_memory(&name);
        }
    }

    fn release(&mut self) {}
}

#[test]
fn a_fuse_mount_that_lies() {
    check(|point| {
        let mount = slow_fs(&point)?;
        fill_fuse(&mount);
        Some(Lying(mount))
    });
}

/// A FUSE mount whose program ends while it is waited for.
struct Ending(SlowFs);

impl BadMount for Ending {
    fn spoil(&mut self, server: &Server) {
        self.0.treat_all(Treatment::Hold);
        // First: the others may have all the threads that the mount may have, and ask for what is known still.
        let mut unknown = server.connect();
        unknown.send(b"GET /bad/asked-for-once HTTP/1.1\r\nHost: t\r\n\r\n");
        self.0.wait_until_held(Operation::LookUp, 1);
        let clients = ask(server, 0);
        let workers = server.workers();
        wait_until("all requests are taken", || workers.wait_for_events());
        self.0.end().expect("we have mounted it");
        for (_, mut client) in clients {
            // Whatever it is told, it does not wait.
            let _ = client.try_response(false);
        }
    }

    fn release(&mut self) {
        self.0.treat_all(Treatment::Answer);
    }
}

#[test]
fn a_fuse_mount_whose_program_ends() {
    check(|point| {
        let mount = slow_fs(&point)?;
        fill_fuse(&mount);
        Some(Ending(mount))
    });
}

/// A mount that hangs and was not there when the server started.
struct Late {
    point: PathBuf,
    mount: Option<SlowFs>,
}

impl BadMount for Late {
    fn spoil(&mut self, _server: &Server) {
        let mount = slow_fs(&self.point).expect("there is FUSE");
        fill_fuse(&mount);
        mount.treat_all(Treatment::Hold);
        self.mount = Some(mount);
    }

    fn release(&mut self) {
        if let Some(mount) = &self.mount {
            mount.treat_all(Treatment::Answer);
        }
    }
}

#[test]
fn a_fuse_mount_that_is_mounted_later_and_hangs() {
    check(|point| Some(Late { point, mount: None }));
}

/// A local disk whose device is treated so.
struct Disk {
    disk: LoopDisk,
    point: PathBuf,
    treatment: Treatment,
}

impl Disk {
    fn new(point: PathBuf, treatment: Treatment) -> Option<Self> {
        let disk = LoopDisk::mount(&point, 64 << 20, |files| fill(files, BAD_FILES))?;
        Some(Self {
            disk,
            point,
            treatment,
        })
    }
}

impl BadMount for Disk {
    fn spoil(&mut self, server: &Server) {
        for seed in 0..BAD_FILES {
            evict(&self.point.join(seed.to_string()));
        }
        // Looked up a moment ago, so that workers open them.
        for index in 0..BAD_FILES {
            server.head_with(&target(index), "");
        }
        self.disk.device.treat(Operation::Read, self.treatment);
    }

    fn release(&mut self) {
        self.disk.device.treat(Operation::Read, Treatment::Answer);
    }
}

#[test]
fn a_local_disk_that_hangs() {
    check(|point| Disk::new(point, Treatment::Hold));
}

#[test]
fn a_local_disk_that_is_late() {
    check(|point| Disk::new(point, LATE));
}

#[test]
fn a_local_disk_that_fails() {
    check(|point| Disk::new(point, Treatment::Fail(EIO)));
}

/// An overlay whose lower layer hangs.
struct Above {
    _overlay: Overlay,
    lower: SlowFs,
    _directory: tempfile::TempDir,
}

impl BadMount for Above {
    fn spoil(&mut self, _server: &Server) {
        self.lower.treat_all(Treatment::Hold);
    }

    fn release(&mut self) {
        self.lower.treat_all(Treatment::Answer);
    }
}

#[test]
fn an_overlay_whose_lower_layer_hangs() {
    check(|point| {
        let directory = temp_root();
        let lower = slow_fs(directory.path())?;
        fill_fuse(&lower);
        Some(Above {
            _overlay: overlay(&point, directory.path())?,
            lower,
            _directory: directory,
        })
    });
}

/// Clients that read nothing, beside the others: fewer than reach the limit of connections.
const READERS: usize = 20;

/// A file system in memory that is unmounted while files of it are sent.
struct Unmounted {
    mounted: Option<Mounted>,
    readers: Vec<Client>,
}

impl BadMount for Unmounted {
    fn spoil(&mut self, server: &Server) {
        self.readers = (0..READERS)
            .map(|_| {
                let mut client = server.connect();
                client.send(b"GET /bad/long HTTP/1.1\r\nHost: t\r\n\r\n");
                client
            })
            .collect();
        for reader in &self.readers {
            wait_until("it is being sent", || {
                reader.stream.peek(&mut [0]).is_ok_and(|count| count > 0)
            });
        }
        self.mounted = None;
    }

    fn release(&mut self) {
        self.readers.drain(..).for_each(reset);
    }
}

#[test]
fn a_file_system_in_memory_that_is_unmounted_lazily() {
    check(|point| {
        let mounted = tmpfs(&point)?;
        fill(&point, BAD_FILES);
        std::fs::write(point.join("long"), pattern(1, 0, 32 << 20)).expect("a file");
        Some(Unmounted {
            mounted: Some(mounted),
            readers: Vec::new(),
        })
    });
}

/// A file system in memory, and one in its place that has its device number and whose files are not read.
struct Replaced {
    point: PathBuf,
    memory: Option<Mounted>,
    mount: Option<SlowFs>,
}

impl BadMount for Replaced {
    fn spoil(&mut self, _server: &Server) {
        let device = || self.point.metadata().expect("a directory").dev();
        let before = device();
        let memory = self.memory.take().expect("spoilt once");
        memory.unmount();
        let mut others = Vec::new();
        // The kernel gives the lowest number that is free; another test may have it by now.
        for _ in 0..100 {
            let mount = slow_fs(&self.point).expect("there is FUSE");
            if device() == before {
                fill_fuse(&mount);
                mount.treat(Operation::Read, Treatment::Hold);
                self.mount = Some(mount);
                return;
            }
            others.push(mount);
        }
        println!("the number of the device is in use: nothing to test");
    }

    fn release(&mut self) {
        if let Some(mount) = &self.mount {
            mount.treat_all(Treatment::Answer);
        }
    }
}

#[test]
fn a_fuse_mount_that_hangs_in_the_place_of_a_file_system_in_memory() {
    check(|point| {
        let memory = tmpfs(&point)?;
        fill(&point, BAD_FILES);
        Some(Replaced {
            point,
            memory: Some(memory),
            mount: None,
        })
    });
}
