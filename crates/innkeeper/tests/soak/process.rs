//! What the process holds of the system, and whether that stays as it is.

/// Descriptors, mappings and memory of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) descriptors: u64,
    pub(crate) mappings: u64,
    /// Beside pages of files: how many of those the system maps differs from machine to machine.
    pub(crate) held_kib: u64,
}

/// How much more there may be at the end: other tests' threads come and go, and allocators keep some of what was freed.
const SLACK: Held = Held { descriptors: 0, mappings: 16, held_kib: 6 << 10 };

impl Held {
    pub(crate) fn now() -> Held {
        let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
        let mappings = std::fs::read_to_string("/proc/self/maps").unwrap().lines().count() as u64;
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: Vec<u64> = pages.split(' ').map_while(|pages| pages.parse().ok()).collect();
        Held { descriptors, mappings, held_kib: (pages[1] - pages[2]) * 4 }
    }
}

/// What there is too much of, where the last quarter of what was seen is never down to the second one's most, and some; what was seen before that is warming up.
pub(crate) fn growth(seen: &[Held]) -> Option<String> {
    let quarter = seen.len() / 4;
    let (early, late) = (&seen[quarter..2 * quarter], &seen[3 * quarter..]);
    let growth_of = |name: &str, of: fn(&Held) -> u64| {
        let most = early.iter().map(of).max()?;
        let least = late.iter().map(of).min()?;
        (least > most + of(&SLACK))
            .then(|| format!("{least} {name} at least at the end, {most} at most before"))
    };
    growth_of("descriptors", |held| held.descriptors)
        .or_else(|| growth_of("mappings", |held| held.mappings))
        .or_else(|| growth_of("KiB of memory", |held| held.held_kib))
}

#[test]
fn growth_is_told_from_what_comes_and_goes() {
    let held = |i: u64, each: [u64; 3]| Held {
        descriptors: 10 + each[0] * i,
        mappings: 100 + each[1] * i,
        held_kib: 10_000 + each[2] * i + 5000 * (i % 2),
    };
    let seen = |each| (0..20).map(|i| held(i, each)).collect::<Vec<_>>();
    assert_eq!(growth(&seen([0, 0, 0])), None);
    for (each, kind) in [([1, 0, 0], "descriptors"), ([0, 4, 0], "mappings"), ([0, 0, 2000], "memory")] {
        assert!(growth(&seen(each)).unwrap().contains(kind), "{kind}");
    }
}
