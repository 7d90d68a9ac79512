//! Words that stand nowhere in the repository, taken apart here so that this file may hold them; and paths that documents name.

/// Leftovers of somebody's machine, and what a reader cannot look up.
const MACHINE: &[&str] =
    &[concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("design", ".md"), concat!("bash", "_jobs")];

/// Promises instead of work.
const PROMISES: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("HA", "CK"),
    concat!("for ", "now"),
    concat!("place", "holder"),
    concat!("simpli", "fied"),
    concat!("unimple", "mented yet"),
];

/// Every line of `text` with such a word, or with an address outside this machine, as `path:line: word`.
pub fn forbidden(path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().enumerate();
    lines
        .flat_map(|(index, line)| in_line(line).into_iter().map(move |word| format!("{path}:{}: {word}", index + 1)))
        .collect()
}

/// Top folders of the repository, for [`paths`].
const FOLDERS: &[&str] = &[
    "benches/",
    "bls/",
    "cli/",
    "client-sdk/",
    "deploy/",
    "docs/",
    "examples/",
    "ledger/",
    "node/",
    "pow/",
    "protocols/",
    "scripts/",
    "tests/",
    "wire/",
];

/// What a document names in backticks as a file or folder of the repository.
pub fn paths(document: &str) -> impl Iterator<Item = &str> {
    let is_path = |text: &&str| {
        let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
        plain && FOLDERS.iter().any(|folder| text.starts_with(folder))
    };
    document.split('`').skip(1).step_by(2).filter(is_path)
}

fn in_line(line: &str) -> Vec<String> {
    let machine = MACHINE.iter().filter(|word| begins_path(line, word)).map(|word| (*word).to_owned());
    let promises = PROMISES.iter().filter(|word| stands_alone(line, word)).map(|word| (*word).to_owned());
    machine.chain(promises).chain(addresses(line)).collect()
}

/// True if `word` is in `line` with nothing before it that would make it a part of a longer path.
fn begins_path(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}".contains(c)))
}

fn stands_alone(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        !before.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphanumeric)
    })
}

/// Addresses that are neither loopback, nor every interface, nor of the documentation's networks (RFC 5737).
fn addresses(line: &str) -> Vec<String> {
    let candidates = line.split(|c: char| !c.is_ascii_digit() && c != '.');
    let parsed = candidates.filter_map(|text| text.trim_matches('.').parse::<std::net::Ipv4Addr>().ok());
    parsed
        .filter(|ip| !ip.is_loopback() && !ip.is_unspecified() && !ip.is_documentation() && !ip.is_broadcast())
        .map(|ip| ip.to_string())
        .collect()
}
