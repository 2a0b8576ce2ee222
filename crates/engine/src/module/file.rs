//! Reads the file that a module is in.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// The most that is read: the limit of the JavaScript interface's specification ("Implementation-defined Limits").
const MAX_BYTES: u64 = 1 << 30;

/// All that is in a file, or [`ErrorKind::FileTooLarge`] after one byte more than a module may have: devices never end.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    read_at_most(path, MAX_BYTES)
}

fn read_at_most(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = File::open(path)?;
    let expected = file.metadata()?.len();
    if expected > limit {
        return Err(ErrorKind::FileTooLarge.into());
    }
    let mut bytes = Vec::new();
    let reserve = usize::try_from(expected).unwrap_or(0);
    bytes.try_reserve_exact(reserve).map_err(|_| Error::from(ErrorKind::OutOfMemory))?;
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_larger_than_modules_may_be_is_left() {
        // The first two have no end that could be known before; the last has one.
        let own = std::env::current_exe().unwrap();
        for path in [Path::new("/dev/zero"), Path::new("/proc/self/maps"), &*own] {
            assert_eq!(read_at_most(path, 10).unwrap_err().kind(), ErrorKind::FileTooLarge, "{path:?}");
        }
        assert_eq!(read(Path::new("/dev/null")).unwrap(), []);
        let len = own.metadata().unwrap().len();
        assert_eq!(read_at_most(&own, len).unwrap().len() as u64, len);
        assert_eq!(read_at_most(&own, len - 1).unwrap_err().kind(), ErrorKind::FileTooLarge);
    }
}
