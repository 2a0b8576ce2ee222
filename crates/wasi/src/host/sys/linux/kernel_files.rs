//! What types of file systems tell: which are the kernel's own, whose files are ways to talk to the kernel, to drivers, and to other processes; and which have names that
//! their text does not tell apart.
//!
//! Told by the type that the system gives for a file system. Must stay true: a type that this knows nothing of is not the kernel's; the test below asks this
//! machine which types there are, so that a new one is decided about.

use std::os::fd::BorrowedFd;

use rustix::fs;

use super::Error;
use crate::host::gate::Permit;

/// Their names and types. Of two names of one type, such as `cpuset`, which is mounted as a `cgroup`, one is enough.
const KERNEL_FILE_SYSTEMS: [(&str, u32); 35] = [
    ("proc", 0x9fa0),
    ("sysfs", 0x6265_6572),
    ("debugfs", 0x6462_6720),
    ("tracefs", 0x7472_6163),
    ("securityfs", 0x7363_6673),
    ("configfs", 0x6265_6570),
    ("cgroup", 0x0027_e0eb),
    ("cgroup2", 0x6367_7270),
    ("cpuset", 0x0027_e0eb),
    ("bpf", 0xcafe_4a11),
    ("efivarfs", 0xde5e_81e4),
    ("selinuxfs", 0xf97c_ff8c),
    ("smackfs", 0x4341_5d53),
    ("apparmorfs", 0x5a3c_69f0),
    ("binfmt_misc", 0x4249_4e4d),
    ("pstore", 0x6165_676c),
    ("nsfs", 0x6e73_6673),
    ("resctrl", 0x0765_5821),
    ("fusectl", 0x6573_5543),
    // Terminals of others, and messages between processes.
    ("devpts", 0x1cd1),
    ("mqueue", 0x1980_0202),
    // Servers in the kernel, and what it asks processes to do.
    ("rpc_pipefs", 0x6759_6969),
    ("nfsd", 0x6e66_7364),
    ("ocfs2_dlmfs", 0x76a9_f425),
    // Other machines, and this one's firmware.
    ("xenfs", 0xabba_1974),
    ("openpromfs", 0x0000_9fa1),
    ("s390_hypfs", 0x0068_7970),
    ("ibmasmfs", 0x6672_6f67),
    // Devices.
    ("usbdevfs", 0x0000_9fa2),
    ("usbfs", 0x0000_9fa2),
    ("binder", 0x6c6f_6f70),
    ("functionfs", 0x0a64_7361),
    ("gadgetfs", 0xaee7_1ee7),
    ("spufs", 0x23c9_b64e),
    ("oprofilefs", 0x6f70_726f),
];

/// Types of file systems in which directories are on different devices without anything being mounted: those with subvolumes, `btrfs` and `bcachefs`.
const SUBVOLUME_FILE_SYSTEMS: [u32; 2] = [0x9123_683e, 0xca45_1a4e];

/// Types of file systems that have names for a file which nobody here can tell from those of others: short aliases, and whatever another system or a server takes for the same.
const FILE_SYSTEMS_WITH_ALIASES: [(&str, u32); 16] = [
    ("vfat", 0x4d44),
    ("exfat", 0x2011_bab0),
    ("ntfs", 0x5346_544e),
    ("ntfs3", 0x7366_746e),
    ("cifs", 0xff53_4d42),
    ("smb3", 0xfe53_4d42),
    ("smbfs", 0x517b),
    ("hfs", 0x4244),
    ("hfsplus", 0x482b),
    ("hpfs", 0xf995_e849),
    ("affs", 0xadff),
    ("adfs", 0xadf5),
    // Programs, and other systems that this one is a guest of.
    ("fuse", 0x6573_5546),
    ("9p", 0x0102_1997),
    ("vboxsf", 0x786f_4256),
    ("vmhgfs", 0xbacb_acbc),
];

/// The type of the file system that something is on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileSystem(u32);

impl FileSystem {
    pub(crate) fn of(_: &Permit, fd: BorrowedFd<'_>) -> Result<FileSystem, Error> {
        Ok(FileSystem(file_system_type(fd)?))
    }

    /// Whether it is the kernel's own, through which one asks it and tells it things.
    pub(crate) fn is_of_the_kernel(self) -> bool {
        KERNEL_FILE_SYSTEMS.iter().any(|(_, known)| *known == self.0)
    }

    /// Whether a name on it does not tell by its text what it stands for.
    pub(crate) fn has_name_aliases(self) -> bool {
        FILE_SYSTEMS_WITH_ALIASES.iter().any(|(_, known)| *known == self.0)
    }
}

/// Whether something is on a file system of the kernel's own, through which one asks it and tells it things.
pub(crate) fn is_of_the_kernel(permit: &Permit, fd: BorrowedFd<'_>) -> Result<bool, Error> {
    Ok(FileSystem::of(permit, fd)?.is_of_the_kernel())
}

/// Whether directories on different devices can be of the one file system that this is on.
pub(crate) fn has_many_devices(_: &Permit, fd: BorrowedFd<'_>) -> Result<bool, Error> {
    Ok(SUBVOLUME_FILE_SYSTEMS.contains(&file_system_type(fd)?))
}

/// Whether something is on an overlay file system.
pub(crate) fn is_overlay(_: &Permit, fd: BorrowedFd<'_>) -> Result<bool, Error> {
    const OVERLAY: u32 = 0x794c_7630;
    Ok(file_system_type(fd)? == OVERLAY)
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "types of file systems are 32 bits, in a field whose type differs between architectures"
)]
fn type_of(found: &fs::StatFs) -> u32 {
    found.f_type as u32
}

fn file_system_type(fd: BorrowedFd<'_>) -> Result<u32, Error> {
    Ok(type_of(&fs::fstatfs(fd)?))
}

#[cfg(test)]
mod tests {
    use super::KERNEL_FILE_SYSTEMS;
    use std::process::Command;

    /// Types without a disk whose files are files, in memory, on other machines, in other directories or of other programs; and those that are never mounted, so
    /// that no path leads to them.
    const ORDINARY: &[&str] = &[
        "9p",
        "afs",
        "anon_inodefs",
        "aufs",
        "autofs",
        "bcachefs",
        "bdev",
        "ceph",
        "cifs",
        "coda",
        "cxl",
        "dax",
        "devmem",
        "devtmpfs",
        "dmabuf",
        "drm",
        "ecryptfs",
        "fuse",
        "gpfs",
        "guest_memfd",
        "hostfs",
        "hugetlbfs",
        "incremental-fs",
        "iomem",
        "lustre",
        "mtd_inodefs",
        "nfs",
        "nfs4",
        "orangefs",
        "overlay",
        "pidfs",
        "pipefs",
        "prl_fs",
        "pvfs2",
        "ramfs",
        "rootfs",
        "secretmem",
        "shiftfs",
        "smb3",
        "sockfs",
        "tmpfs",
        "ubifs",
        "unionfs",
        "vboxsf",
        "virtiofs",
        "vmhgfs",
        "zfs",
    ];

    /// Types of this machine without a disk.
    fn types() -> Vec<String> {
        let text = std::fs::read_to_string("/proc/filesystems").unwrap();
        text.lines().filter_map(|line| line.strip_prefix("nodev\t")).map(str::to_owned).collect()
    }

    #[test]
    fn every_file_system_of_this_machine_is_the_kernels_or_not() {
        for name in types() {
            let is_kernels = KERNEL_FILE_SYSTEMS.iter().any(|(known, _)| *known == name);
            let is_ordinary = ORDINARY.contains(&&*name);
            assert!(
                is_kernels != is_ordinary,
                "{name}: say whether its files are ways to talk to the kernel (KERNEL_FILE_SYSTEMS) or files (ORDINARY)"
            );
        }
    }

    #[test]
    fn types_are_what_the_system_says() {
        let mut tried = 0;
        for name in types() {
            let Some((_, known)) = KERNEL_FILE_SYSTEMS.iter().find(|(known, _)| *known == name) else {
                continue;
            };
            let at = tempfile::tempdir().unwrap();
            let script = r#"mount -t "$1" none "$2" && stat --file-system --format %t "$2""#;
            let ran = Command::new("unshare")
                .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh", &name])
                .arg(at.path())
                .output();
            let Some(ran) = ran.ok().filter(|ran| ran.status.success()) else { continue };
            let said = String::from_utf8(ran.stdout).unwrap();
            assert_eq!(u32::from_str_radix(said.trim(), 16), Ok(*known), "{name}");
            tried += 1;
        }
        if tried == 0 {
            eprintln!(
                "KNOWN GAP: no type was compared: this system lets nobody mount anything (unshare --mount)"
            );
        }
    }
}
