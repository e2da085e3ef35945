//! Lists that are read a page at a time, so that nobody else waits for one long read.

/// The first `limit` of what `read` gives, and whether there are more: it is asked for a number, of those
/// behind the last that it gave.
///
/// # Errors
/// Those of `read`.
pub(super) async fn first<T, E>(
    limit: usize,
    page: u64,
    mut read: impl AsyncFnMut(u64, Option<&T>) -> Result<Vec<T>, E>,
) -> Result<(Vec<T>, bool), E> {
    let mut found = Vec::new();
    while found.len() <= limit {
        let wanted = ((limit - found.len()) as u64).saturating_add(1).min(page);
        let more = read(wanted, found.last()).await?;
        let is_last = (more.len() as u64) < wanted;
        found.extend(more);
        if is_last {
            break;
        }
    }
    let is_cut = found.len() > limit;
    found.truncate(limit);
    Ok((found, is_cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_list_ends_where_it_should_and_says_whether_it_was_cut() {
        for (limit, there) in [(0, 0), (0, 1), (5, 4), (5, 5), (5, 6), (10, 9), (10, 10), (10, 11), (usize::MAX, 30), (7, 100)] {
            let read = async |wanted: u64, last: Option<&u64>| {
                assert!(wanted <= 10);
                Ok::<_, ()>((last.map_or(0, |last| last + 1)..there).take(wanted as usize).collect())
            };
            let (found, is_cut) = first(limit, 10, read).await.unwrap();
            assert_eq!(found, (0..there).take(limit).collect::<Vec<_>>());
            assert_eq!(is_cut, there as usize > limit, "{there} with a limit of {limit}");
        }
    }
}
