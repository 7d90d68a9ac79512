//! `white-city resume`, and what is kept for it of a command that takes part in a session.

use crate::{
    command::{self, Options},
    error::Error,
    identity,
    join::Place,
    output::{Output, table},
};
use clap::{Args, Parser};
use client_sdk::{Begun, Session, Unfinished};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};
use wire::SessionId;

#[derive(Args, Debug)]
pub(crate) struct Command {
    /// Only in this session [default: in all]
    session: Option<SessionId>,
    /// Only show what is unfinished
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    place: Place,
}

/// A command, so that it can be run again: what was typed, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Task {
    folder: PathBuf,
    arguments: Vec<String>,
    network: Option<PathBuf>,
    passphrase_file: Option<PathBuf>,
}

/// A task that is not done.
struct Open {
    session: SessionId,
    name: String,
    task: Option<Task>,
    executions: Vec<Begun>,
}

/// The running command as a task; none if it is not text, which the state could not keep.
pub(crate) fn task(options: &Options) -> Option<Vec<u8>> {
    let folder = std::env::current_dir().ok()?;
    let arguments = options.arguments.iter().map(|one| one.to_str().map(str::to_owned)).collect::<Option<_>>()?;
    let (network, passphrase_file) =
        (absolute(options.network.as_deref()), absolute(options.passphrase_file.as_deref()));
    serde_json::to_vec(&Task { folder, arguments, network, passphrase_file }).ok()
}

/// `white-city resume`.
pub(crate) async fn run(command: Command, options: &Options, output: &Output) -> Result<(), Error> {
    let how = command.place.options(options)?;
    let identity = identity::load(options)?;
    let mut open = Vec::new();
    for found in Session::unfinished(&identity, &how)? {
        match found {
            Ok(found) if command.session.is_none_or(|session| session == found.session) => open.extend(tasks(found)),
            Ok(_) => {}
            Err(error) => output.warn(&Error::from(error).chain()),
        }
    }
    let folder = how.state.unwrap_or_default();
    if command.list || open.is_empty() {
        return show(&open, &folder, output);
    }
    // Named from here, for each command runs in its own folder.
    let from_here = Options {
        identity: absolute(Some(&identity::path(options)?)),
        network: absolute(options.network.as_deref()),
        passphrase_file: absolute(options.passphrase_file.as_deref()),
        state: absolute(Some(&folder)),
        ..options.clone()
    };
    let mut failed = None;
    for open in open {
        let Some(task) = open.task else {
            output.warn(&format!("session {}: {}: run again what has begun it", open.session, open.name));
            continue;
        };
        output.note(&format!("session {}: going on with: {}", open.session, line(&task)));
        if let Err(error) = go_on(task, &from_here, output).await {
            // The first one's is this command's.
            match &failed {
                None => failed = Some(error),
                Some(_) => output.error(&error),
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

/// What is not done in a session: commands, or where another program has begun something, its executions.
fn tasks(found: Unfinished) -> Vec<Open> {
    let Unfinished { session, tasks, executions, .. } = found;
    if tasks.is_empty() {
        let left = executions.into_iter().filter(|begun| !begun.finished);
        return left
            .map(|begun| Open { session, name: begun.name.clone(), task: None, executions: vec![begun] })
            .collect();
    }
    let open = |(name, task): (String, Vec<u8>)| {
        let task = serde_json::from_slice(&task).ok();
        Open { session, name, task, executions: executions.clone() }
    };
    tasks.into_iter().map(open).collect()
}

fn show(open: &[Open], folder: &Path, output: &Output) -> Result<(), Error> {
    if open.is_empty() {
        return output.result(&format!("nothing is unfinished in {}", folder.display()), &json!([]));
    }
    let mut rows = vec![["session", "command", "so far"].map(str::to_owned).to_vec()];
    rows.extend(open.iter().map(|open| {
        let command = open.task.as_ref().map_or_else(|| open.name.clone(), line);
        vec![open.session.to_string(), command, so_far(&open.executions)]
    }));
    let values: Vec<Value> = open.iter().map(value).collect();
    output.result(&table(&rows), &values)
}

fn so_far(executions: &[Begun]) -> String {
    let one = |begun: &Begun| {
        let state = if begun.finished { "done".to_owned() } else { format!("{} steps", begun.steps) };
        format!("{}: {state}", begun.name)
    };
    if executions.is_empty() {
        "nothing begun".to_owned()
    } else {
        executions.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

fn value(open: &Open) -> Value {
    let begun = |begun: &Begun| json!({ "name": begun.name, "steps": begun.steps, "finished": begun.finished });
    let executions: Vec<Value> = open.executions.iter().map(begun).collect();
    let (folder, arguments) =
        (open.task.as_ref().map(|task| &task.folder), open.task.as_ref().map(|task| without_secrets(&task.arguments)));
    json!({ "session": open.session, "name": open.name, "folder": folder, "arguments": arguments, "executions": executions })
}

/// What was typed, but for the number of `white-city statistics`, which nobody else is to learn.
fn without_secrets(arguments: &[String]) -> Vec<String> {
    const SECRET: &str = "--value";
    let before = std::iter::once("").chain(arguments.iter().map(String::as_str));
    let shown = |(before, one): (&str, &String)| match one.strip_prefix(SECRET) {
        Some(value) if value.starts_with('=') => format!("{SECRET}=..."),
        _ if before == SECRET => "...".to_owned(),
        _ => one.clone(),
    };
    before.zip(arguments).map(shown).collect()
}

/// As it was typed, more or less, and without secrets.
fn line(task: &Task) -> String {
    let quoted = |one: &String| {
        let plain = !one.is_empty() && one.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=@,".contains(c));
        if plain { one.clone() } else { format!("'{}'", crate::output::printable(one)) }
    };
    let words: Vec<String> = without_secrets(&task.arguments).iter().map(quoted).collect();
    format!("white-city {} (in {})", words.join(" "), task.folder.display())
}

/// Runs a command again, in its folder.
async fn go_on(task: Task, options: &Options, output: &Output) -> Result<(), Error> {
    let Task { folder, arguments, network, passphrase_file } = task;
    std::env::set_current_dir(&folder).map_err(|source| Error::File { action: "enter", path: folder, source })?;
    let words = std::iter::once("white-city").chain(arguments.iter().map(String::as_str));
    let again = command::Command::try_parse_from(words).map_err(|error| Error::Usage { reason: error.to_string() })?;
    let options = Options {
        network: options.network.clone().or(network),
        passphrase_file: options.passphrase_file.clone().or(passphrase_file),
        timeout: options.timeout.or(again.options.timeout),
        arguments: arguments.into_iter().map(OsString::from).collect(),
        ..options.clone()
    };
    Box::pin(command::dispatch(again.noun, &options, output)).await
}

fn absolute(path: Option<&Path>) -> Option<PathBuf> {
    path.and_then(|path| std::path::absolute(path).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_can_be_typed() {
        let arguments = ["schnorr", "sign", "invitation.json", "-m", "our contract"].map(str::to_owned).to_vec();
        let task = Task { folder: "/home/ann".into(), arguments, network: None, passphrase_file: None };
        assert_eq!(line(&task), "white-city schnorr sign invitation.json -m 'our contract' (in /home/ann)");
    }

    #[test]
    fn a_secret_number_is_not_shown() {
        let executions = Vec::new();
        for typed in ["statistics invitation.json --value 5150 --end", "statistics --value=5150 invitation.json"] {
            let arguments = typed.split(' ').map(str::to_owned).collect();
            let task = Task { folder: "/home/ann".into(), arguments, network: None, passphrase_file: None };
            assert!(line(&task).contains("--value") && !line(&task).contains("5150"), "{}", line(&task));
            let (session, name, task) = (SessionId([1; 32]), "statistics 0".to_owned(), Some(task));
            let value = value(&Open { session, name, task, executions: executions.clone() }).to_string();
            assert!(value.contains("invitation.json") && !value.contains("5150"), "{value}");
        }
    }

    #[test]
    fn what_another_program_has_begun_is_shown_by_its_executions() {
        let begun = |name: &str, finished| Begun { name: name.to_owned(), input: vec![], steps: 3, finished };
        let found = Unfinished {
            chain: "here".parse().unwrap(),
            session: SessionId([1; 32]),
            tasks: Default::default(),
            executions: vec![begun("one", true), begun("two", false)],
        };
        let open = tasks(found);
        assert_eq!(open.iter().map(|open| open.name.as_str()).collect::<Vec<_>>(), ["two"]);
        assert_eq!(so_far(&open[0].executions), "two: 3 steps");
    }
}
