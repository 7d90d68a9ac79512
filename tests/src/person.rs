//! A person at a terminal, for tests: a folder with an identity, and the command `white-city` in it.

use crate::binary::binary;
use serde_json::Value;
use std::{
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

/// A person: a folder with an identity, and nothing of anybody else's.
pub struct Person {
    /// Where commands run.
    pub folder: PathBuf,
    /// The network file.
    pub network: PathBuf,
    /// The identity file.
    pub identity: PathBuf,
}

impl Person {
    /// A person whose folder is made, and who has no identity yet.
    ///
    /// # Panics
    /// If the folder is there or cannot be made.
    pub fn new(folder: PathBuf, network: PathBuf) -> Self {
        std::fs::create_dir(&folder).expect("a new folder");
        let identity = folder.join("identity.json");
        Self { folder, network, identity }
    }

    /// `white-city` with these arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("white-city"));
        command.current_dir(&self.folder).args(["--network".as_ref(), self.network.as_os_str()]);
        command.args(["--identity".as_ref(), self.identity.as_os_str()]).args(arguments);
        command
    }

    /// Runs to the end.
    ///
    /// # Panics
    /// If the command cannot be started.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("white-city starts")
    }

    /// Runs to success and returns what it wrote.
    ///
    /// # Panics
    /// If it fails, with what it said.
    pub fn say(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
    }

    /// The same in JSON.
    ///
    /// # Panics
    /// If it fails, or writes something else.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let arguments: Vec<&str> = ["--json"].iter().chain(arguments).copied().collect();
        serde_json::from_str(&self.say(&arguments)).expect("one JSON document")
    }

    /// Runs to failure and returns exit code and error message.
    ///
    /// # Panics
    /// If it succeeds.
    pub fn fail(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?} did not fail: {}", String::from_utf8_lossy(&output.stdout));
        (output.status.code().expect("it was not killed"), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Starts it.
    ///
    /// # Panics
    /// If the command cannot be started.
    pub fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("white-city starts")
    }

    /// A file of this person.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// What a command wrote that must succeed.
///
/// # Panics
/// If it fails, with what it said.
pub fn finish(child: Child) -> String {
    let output = child.wait_with_output().expect("it can be waited for");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
