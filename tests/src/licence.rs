//! Licences that our dependencies may have. `deny.toml` has the same lists; this check needs nothing but cargo.

/// Licences, and a licence with its exception, under which a dependency may come.
pub const ALLOWED: &[&str] = &[
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];
/// Crates that must not be there: TLS other than rustls, and a second linking of SQLite.
pub const BANNED: &[&str] = &["native-tls", "openssl", "openssl-sys", "rusqlite"];

/// True if the SPDX expression can be satisfied by licences of [`ALLOWED`].
pub fn allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = Words { words: spaced.split_whitespace().collect(), at: 0 };
    words.either() == Some(true) && words.at == words.words.len()
}

struct Words<'e> {
    words: Vec<&'e str>,
    at: usize,
}

impl<'e> Words<'e> {
    fn take(&mut self, word: &str) -> bool {
        let is_next = self.words.get(self.at) == Some(&word);
        self.at += usize::from(is_next);
        is_next
    }

    fn next(&mut self) -> Option<&'e str> {
        let word = self.words.get(self.at).copied();
        self.at += 1;
        word.filter(|word| !["OR", "AND", "WITH", ")"].contains(word))
    }

    fn either(&mut self) -> Option<bool> {
        let mut satisfied = self.both()?;
        while self.take("OR") {
            satisfied |= self.both()?;
        }
        Some(satisfied)
    }

    fn both(&mut self) -> Option<bool> {
        let mut satisfied = self.one()?;
        while self.take("AND") {
            satisfied &= self.one()?;
        }
        Some(satisfied)
    }

    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let satisfied = self.either()?;
            return self.take(")").then_some(satisfied);
        }
        let name = self.next()?;
        let whole = if self.take("WITH") { format!("{name} WITH {}", self.next()?) } else { name.to_owned() };
        Some(ALLOWED.contains(&whole.as_str()))
    }
}
