//! Copies a string of UTF-8 from one memory to another, and checks it on the way: block by block, while each is in the processor's nearest cache.

use innkeeper_engine::{Error, Memory, StoreContextMut, is_ascii};

use crate::trap::Trap;

/// After how many bytes it is looked whether the guest is to stop.
const PORTION: usize = 1 << 20;

/// Bytes that are checked, and then copied.
const BLOCK: usize = 4096;

/// Copies `bytes` bytes at an address to another one. Both were checked.
///
/// # Errors
/// Where they are not UTF-8; what then is in the other memory is of no use. Where the guest is to stop.
pub(super) fn copy<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    memories: (Memory, Memory),
    (address, bytes, target): (usize, usize, usize),
) -> Result<(), Error> {
    let mut done = 0;
    loop {
        let (from, to) = store.two_memories(memories.0, memories.1)?;
        let from = from.get(address..).and_then(|from| from.get(..bytes));
        let to = to.get_mut(target..).and_then(|to| to.get_mut(..bytes));
        let (Some(from), Some(to)) = (from, to) else { return Err(Trap::StringContentOutOfBounds.into()) };
        let end = bytes.min(done + PORTION);
        while done < end {
            done += copy_block((from, to), done)?;
        }
        if done == bytes {
            return Ok(());
        }
        store.check_interrupts()?;
    }
}

/// Copies what a block has of whole characters; gives how many bytes that is, of which there is one at least.
fn copy_block((whole, to): (&[u8], &mut [u8]), start: usize) -> Result<usize, Trap> {
    let end = whole.len().min(start + BLOCK);
    let block = &whole[start..end];
    let valid = if is_ascii(block) {
        block.len()
    } else {
        match std::str::from_utf8(block) {
            Ok(_) => block.len(),
            // A character goes on in the next block.
            Err(error) if error.error_len().is_none() && end < whole.len() => error.valid_up_to(),
            Err(error) => return Err(Trap::InvalidUtf8(std::str::from_utf8(whole).err().unwrap_or(error))),
        }
    };
    to[start..start + valid].copy_from_slice(&block[..valid]);
    Ok(valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C42, C45: characters across the ends of blocks, and what is broken there.
    #[test]
    fn c45_strings_are_copied_across_blocks() {
        for before in BLOCK - 4..BLOCK + 4 {
            for (end, is_valid) in
                [("é", true), ("€", true), ("🍵", true), ("", true), ("\u{ff}", true), ("x", false)]
            {
                let mut bytes = [&vec![b'a'; before][..], end.as_bytes(), &[b'z'; 40]].concat();
                if !is_valid {
                    bytes[before] = 0xf0;
                }
                let (mut to, mut done) = (vec![0; bytes.len()], 0);
                let copied = loop {
                    match copy_block((&bytes, &mut to), done) {
                        Ok(more) if done + more == bytes.len() => break Ok(()),
                        Ok(more) => done += more,
                        Err(trap) => break Err(trap),
                    }
                };
                match is_valid {
                    true => assert!(copied.is_ok() && to == bytes, "{before} {end}"),
                    false => {
                        assert_eq!(copied, Err(Trap::InvalidUtf8(std::str::from_utf8(&bytes).unwrap_err())));
                    }
                }
            }
        }
    }
}
