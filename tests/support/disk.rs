//! A small disk, to be filled.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

/// A small file system of its own, unmounted when dropped.
pub struct Disk(PathBuf);

impl Disk {
    pub fn of(path: &Path, size: &str) -> Self {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "octroi-test"]).arg(path).status().unwrap();
        assert!(mounted.success(), "mounting a tmpfs needs root");
        Self(path.to_owned())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn resize(&self, size: &str) {
        let resized = Command::new("mount").args(["-o", &format!("remount,size={size}")]).arg(&self.0).status().unwrap();
        assert!(resized.success());
    }

    /// Takes all that is left, to the last octet.
    pub fn fill(&self) {
        let mut filler = File::options().create(true).append(true).open(self.filler()).unwrap();
        let octets = vec![0; 1 << 20];
        let mut size = octets.len();
        while size > 0 {
            if filler.write_all(&octets[..size]).is_err() {
                size /= 2;
            }
        }
    }

    /// Gives that back.
    pub fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open there is about to end.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
