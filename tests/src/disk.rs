//! What stands in files.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// All files below a folder in which any of `needles` stands.
///
/// # Panics
/// If a folder cannot be read.
pub fn files_with<N: AsRef<[u8]>>(folder: &Path, needles: &[N]) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry of it").path()) {
            if entry.is_dir() {
                folders.push(entry);
                continue;
            }
            // A file that is gone by now, or a socket, holds nothing.
            let Ok(bytes) = fs::read(&entry) else { continue };
            let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|part| part == needle);
            if needles.iter().any(|needle| holds(needle.as_ref())) {
                found.push(entry);
            }
        }
    }
    found
}
