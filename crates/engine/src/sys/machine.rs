//! How much memory there is: the machine's, or what a control group leaves the process.
//!
//! Read from Linux's files; where there are none, a modest number stands for it.

use std::fs;
use std::path::Path;

/// What a machine is taken to have that does not say.
const UNKNOWN_BYTES: u64 = 4 << 30;

/// The least that is believed: a process that runs has more.
const LEAST_BYTES: u64 = 64 << 20;

/// Bytes of memory that the process can hope to use.
pub(crate) fn memory_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_bytes(&text));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let granted = group_limits(&groups, |path| fs::read_to_string(path).ok());
    granted.fold(machine.unwrap_or(UNKNOWN_BYTES), u64::min).max(LEAST_BYTES)
}

/// The machine's memory, as `/proc/meminfo` has it.
fn total_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1 << 10)
}

/// The limits of the process's control groups (`/proc/self/cgroup`) and of all groups around them, as far as they can be seen.
fn group_limits<'a>(
    groups: &'a str,
    read: impl Fn(&Path) -> Option<String> + 'a,
) -> impl Iterator<Item = u64> + 'a {
    let files = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        match (parts.next()?, parts.next()?) {
            ("", group) => Some(("/sys/fs/cgroup", group, "memory.max")),
            (controllers, group) if controllers.split(',').any(|name| name == "memory") => {
                Some(("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes"))
            }
            _ => None,
        }
    });
    files.flat_map(move |(root, group, file)| {
        let group = Path::new(group.trim_start_matches('/'));
        // "max" is no number, and no limit.
        let limits = group.ancestors().map(|group| read(&Path::new(root).join(group).join(file)));
        limits.filter_map(|text| text?.trim().parse().ok()).collect::<Vec<u64>>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_memory_is_read() {
        assert_eq!(total_bytes("MemTotal:       16303428 kB\nMemFree: 1 kB\n"), Some(16_303_428 << 10));
        assert_eq!(total_bytes("nothing"), None);
        assert_eq!(total_bytes("MemTotal: 99999999999999999999 kB"), None);
        assert!(memory_bytes() >= LEAST_BYTES);
    }

    #[test]
    fn the_least_limit_of_all_groups_around_the_process_holds() {
        let read = |path: &Path| {
            Some(String::from(match path.to_str()? {
                "/sys/fs/cgroup/a/b/memory.max" => "max\n",
                "/sys/fs/cgroup/a/memory.max" => "3000\n",
                "/sys/fs/cgroup/memory/c/memory.limit_in_bytes" => "2000\n",
                _ => return None,
            }))
        };
        let limits = |groups| group_limits(groups, read).min();
        assert_eq!(limits("4:memory:/c\n0::/a/b\n"), Some(2000));
        assert_eq!(limits("4:cpu,memory:/c/d\n"), Some(2000));
        assert_eq!(limits("0::/a/b\n"), Some(3000));
        assert_eq!(limits("0::/\n1:name=systemd:/\n"), None);
    }
}
