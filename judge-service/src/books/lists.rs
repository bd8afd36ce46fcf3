//! The store's lists, of which later ones replace what earlier ones say.

/// Lists are written anew when they have so many times as many entries as there is to
/// say, and so many more.
const TIMES: usize = 4;
const MORE: usize = 10_000;

/// Whether lists with so many entries, of which only `known` still say something, are to
/// be replaced by one.
pub fn are_due(entries: usize, known: usize) -> bool {
    entries > TIMES * known + MORE
}
