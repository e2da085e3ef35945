//! What somebody meant who wrote what is not known.

/// The known word that is fewest edits away, if it is near enough to have been meant.
#[must_use]
pub fn nearest<'w>(word: &str, known: &[&'w str]) -> Option<&'w str> {
    let (near, distance) = known.iter().map(|k| (*k, distance(word, k))).min_by_key(|(_, d)| *d)?;
    (distance <= word.chars().count().max(3) / 3).then_some(near)
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = Vec::with_capacity(row.len());
        next.push(left);
        for (y, up) in b.iter().zip(row.iter().skip(1)) {
            let best = (diagonal + usize::from(x != *y)).min(left + 1).min(up + 1);
            diagonal = *up;
            left = best;
            next.push(best);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_offered_only_where_it_is_near() {
        assert_eq!(nearest("adress", &["address", "name"]), Some("address"));
        assert_eq!(nearest("colour", &["address", "name"]), None);
    }
}
