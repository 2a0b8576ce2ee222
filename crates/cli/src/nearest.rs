//! Which of the words that are known a mistyped one is most likely meant to be.

/// The candidate that a mistyped word is most likely meant to be, if one is near enough.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    // What is cut off is nearer than any other word of its length.
    let mut longer =
        candidates.iter().filter(|candidate| word.len() >= LEAST_BEGINNING && candidate.starts_with(word));
    if let (Some(only), None) = (longer.next(), longer.next()) {
        return Some(only);
    }
    // What all flags begin with makes none of them nearer.
    let bare = |word: &'a str| word.trim_start_matches('-');
    let plain = word.trim_start_matches('-');
    let measured = candidates.into_iter().map(|candidate| (distance(plain, bare(candidate)), candidate));
    let (distance, candidate) = measured.min_by_key(|(distance, _)| *distance)?;
    let letters = plain.chars().count().min(bare(candidate).chars().count());
    (distance <= 1 + letters / LETTERS_A_MISTAKE && distance < letters.max(1)).then_some(candidate)
}

/// Letters of a word for each mistake in it beyond the first.
const LETTERS_A_MISTAKE: usize = 5;

/// Letters of which a word is taken for the beginning of another.
const LEAST_BEGINNING: usize = 4;

/// How many letters have to be added, removed, replaced or swapped with their neighbours.
fn distance(one: &str, other: &str) -> usize {
    const LONGEST: usize = 64;
    let (one, other): (Vec<char>, Vec<char>) =
        (one.chars().take(LONGEST).collect(), other.chars().take(LONGEST).collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let mut least = (rows[i][j] + usize::from(a != b)).min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_near() {
        let flags =
            ["--dir", "--mapdir", "--tmp", "--env", "--timeout", "--trace", "--max-cpu", "--max-memory"];
        for (word, meant) in [
            ("--dri", "--dir"),
            ("--time-out", "--timeout"),
            ("--max-mem", "--max-memory"),
            ("--enb", "--env"),
        ] {
            assert_eq!(nearest(word, flags), Some(meant), "{word}");
        }
        let commands = ["run", "wast", "cache", "help", "explore", "inspect"];
        assert_eq!(nearest("inspct", commands), Some("inspect"));
        for word in ["list", "hash", "test", "r"] {
            assert_eq!(nearest(word, commands), None, "{word}");
        }
        for word in ["--network", "--volume", "--uid", "--http", "--x", "--", ""] {
            assert_eq!(nearest(word, flags), None, "{word}");
        }
    }
}
