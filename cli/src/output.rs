//! Everything that is written to a terminal or a pipe: results to the standard output, all else to the standard error.

use crate::error::Error;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde::Serialize;
use std::{
    fmt,
    io::{self, IsTerminal, Write},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// A moving line.
const MOVING: &str = "{spinner} {wide_msg}";

/// How this run speaks.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    spinner: bool,
}

impl Output {
    /// `json`: results for machines. `quiet`: no progress. A moving line appears on a terminal only.
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet, spinner: !quiet && !json && io::stderr().is_terminal() }
    }

    /// Writes a result: `text` for people, or `value` as one line of JSON.
    ///
    /// # Errors
    /// [`Error::Output`] if the standard output cannot be written, also when its reader has gone.
    pub(crate) fn result(&self, text: &str, value: &impl Serialize) -> Result<(), Error> {
        if self.json {
            let line = serde_json::to_string(value).map_err(|error| Error::Encoding { reason: error.to_string() })?;
            self.raw(format!("{line}\n").as_bytes())
        } else {
            self.raw(format!("{}\n", text.trim_end()).as_bytes())
        }
    }

    /// Writes bytes to the standard output as they are.
    ///
    /// # Errors
    /// As [`Self::result`].
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<(), Error> {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(|source| Error::Output { source })
    }

    /// Tells a person something that is no result. That nobody can read it is no failure.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            complain(text);
        }
    }

    /// Tells what must not be overlooked, also when quiet.
    pub(crate) fn warn(&self, text: &str) {
        complain(&format!("warning: {text}"));
    }

    /// One line for the error, one for what to do about it.
    pub(crate) fn error(&self, error: &Error) {
        if error.is_closed_output() {
            return;
        }
        let (message, hint) = (error.chain(), error.hint());
        if self.json {
            let value = serde_json::json!({ "error": message, "hint": hint, "exit": error.exit_code() });
            return complain(&value.to_string());
        }
        complain(&format!("error: {message}"));
        if let Some(hint) = hint {
            complain(&format!("hint: {hint}"));
        }
    }

    /// Starts to show work of which is known how much there is, and how much was done before.
    pub(crate) fn bar(&self, what: &'static str, all: u64, before: u64) -> Bar {
        Bar(self.spinner.then(|| {
            let bar = ProgressBar::with_draw_target(Some(all), ProgressDrawTarget::stderr());
            let template = "{msg} {wide_bar} {percent} %, {eta} left";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_message(what);
            bar.set_position(before);
            bar.reset_eta();
            bar
        }))
    }

    /// Starts to show a longer work.
    pub(crate) fn progress(&self) -> Progress {
        let bar = self.spinner.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            set_style(&bar, MOVING);
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Progress { bar, quiet: self.quiet, tenths: AtomicU64::new(0) }
    }
}

/// Work of which is known how much there is, shown with the time that is left; on a terminal only.
pub(crate) struct Bar(Option<ProgressBar>);

impl Bar {
    /// So much is done.
    pub(crate) fn now(&self, done: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(done);
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// A longer work, shown as it goes on.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    quiet: bool,
    /// Of the work that was told of last, where no bar can be seen.
    tenths: AtomicU64,
}

impl Progress {
    /// What is happening just now: a moving line, seen on a terminal only.
    pub(crate) fn now(&self, text: &str) {
        if let Some(bar) = &self.bar {
            set_style(bar, MOVING);
            bar.set_message(text.to_owned());
        }
    }

    /// What is waited for, with the time that is left, which goes by on a terminal.
    pub(crate) fn wait(&self, text: &str, left: Option<Duration>) {
        let Some(bar) = &self.bar else { return };
        let due = left.and_then(|left| Instant::now().checked_add(left));
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}{left}") {
            let left = move |_: &ProgressState, line: &mut dyn fmt::Write| {
                let left = due.map(|due| format!(", {} left", brief(due.saturating_duration_since(Instant::now()))));
                // That a line cannot be drawn is no failure.
                let _ = line.write_str(&left.unwrap_or_default());
            };
            bar.set_style(style.with_key("left", left));
        }
        bar.set_message(text.to_owned());
    }

    /// How far a work has come that has so many steps: a bar on a terminal, elsewhere a line for every tenth. `rate`: steps a second.
    pub(crate) fn work(&self, what: &str, done: u64, total: u64, rate: u64) {
        let left = total.saturating_sub(done).checked_div(rate).map(Duration::from_secs);
        let left = left.map(|left| format!(", {} left", brief(left))).unwrap_or_default();
        match &self.bar {
            Some(bar) if done < total => {
                bar.set_length(total);
                set_style(bar, "{spinner} {msg} {wide_bar} {percent}%");
                bar.set_position(done);
                bar.set_message(format!("{what}{left}"));
            }
            Some(bar) => set_style(bar, MOVING),
            None => {
                let tenths = done.saturating_mul(10).checked_div(total).unwrap_or(10);
                if self.tenths.swap(tenths, Ordering::Relaxed) != tenths {
                    self.line(&format!("{what}: {}%{left}", tenths.saturating_mul(10)));
                }
            }
        }
    }

    /// What has happened: a line that stays.
    pub(crate) fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| complain(text)),
            None if self.quiet => {}
            None => complain(text),
        }
    }

    /// Takes the moving line away while something else is written.
    pub(crate) fn aside<R>(&self, write: impl FnOnce() -> R) -> R {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Takes the moving line away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

fn set_style(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}

/// A duration for people, who do not want to know the last tenth of it.
pub(crate) fn brief(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

/// Rows under each other in columns, two spaces apart; the first row is the head.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Text from elsewhere on one line: control characters could rewrite what a terminal shows.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn complain(line: &str) {
    // Whoever closed the standard error does not want to know.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["phase".to_owned(), "ms".to_owned()], vec!["sign".to_owned(), "1200".to_owned()]];
        assert_eq!(table(&rows), "phase  ms\nsign   1200");
    }

    #[test]
    fn a_title_cannot_move_the_cursor() {
        assert_eq!(printable("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
