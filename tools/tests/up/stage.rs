//! What the tests share: a namespace and a folder for each, a machine that is up, programs beside it.

use libtest_mimic::{Completion, Failed, Trial};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tapstack_cli::testbed::{self, Entered, NetNs};

/// What a test asks of the machine that it runs on, or why it can't have it.
pub(crate) type Need = Result<(), String>;
/// What a test's body returns.
pub(crate) type Outcome = Result<(), Failed>;
/// A test, in a namespace of its own and with a folder for control sockets.
pub(crate) type Body = fn(&Path) -> Outcome;

const TAPSTACK: &str = env!("CARGO_BIN_EXE_tapstack");

/// How long anything may take here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Moves this program into a network namespace of its own, in a child process: see the tests of the workspace.
pub(crate) fn enter_testbed() -> Need {
    testbed::available().map_err(|why| why.to_string())?;
    match testbed::enter() {
        Ok(Entered::Inside) => Ok(()),
        Ok(Entered::Done(status)) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => Err(error.to_string()),
    }
}

/// A test that is shown as ignored, with the reason, where it can't be had; with `TAPSTACK_REQUIRE_TAP=1` it fails.
pub(crate) fn test(name: &str, needs: Vec<Need>, body: Body) -> Trial {
    let unmet: Vec<String> = needs.into_iter().filter_map(Result::err).collect();
    if unmet.is_empty() {
        return Trial::test(name, move || in_namespace(body));
    }
    let reason = unmet.join("; ");
    let required = std::env::var_os("TAPSTACK_REQUIRE_TAP").is_some_and(|value| value == "1");
    Trial::ignorable_test(name, move || match required {
        true => Err(format!("TAPSTACK_REQUIRE_TAP is set, but {reason}").into()),
        false => Ok(Completion::ignored_with(format!("skipped: {reason}"))),
    })
}

fn in_namespace(body: Body) -> Outcome {
    let folder = tempfile::tempdir()?;
    let ran = NetNs::new()?.run(|| {
        testbed::furnish().map_err(|error| error.to_string())?;
        body(folder.path()).map_err(|failed| failed.message().unwrap_or("failed").to_owned())
    })?;
    ran.map_err(Failed::from)?;
    // Whatever happened to the machines, their control sockets are gone with them.
    let left = std::fs::read_dir(folder.path().join("tapstack")).map_or(0, Iterator::count);
    ensure(left == 0, || format!("{left} files are left in the control folder"))
}

/// A program of the system.
pub(crate) fn program(name: &str) -> Need {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = folders.any(|folder| folder.join(name).is_file());
    if found { Ok(()) } else { Err(format!("{name} is not installed")) }
}

/// A machine that is up, in the caller's namespace. It is ended by Ctrl-C when it is dropped.
pub(crate) struct Up {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// What it said until it was up.
    pub(crate) said: String,
}

impl Up {
    /// Starts one, and waits until it says that it is up.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Result<Up, Failed> {
        Up::start_as(folder, &["up"], arguments)
    }

    /// The same by another subcommand.
    pub(crate) fn start_as(folder: &Path, subcommand: &[&str], arguments: &[&str]) -> Result<Up, Failed> {
        let mut child = command(folder, subcommand)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let mut said = String::new();
        while !said.ends_with("Ctrl-C ends it.\n") {
            if stdout.read_line(&mut said)? == 0 {
                let output = child.wait_with_output()?;
                return Err(format!("it did not come up: {said}{}", everything(&output)).into());
            }
        }
        Ok(Up { child, stdout, said })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) -> Outcome {
        let sent = Command::new("kill").args([name, &self.id().to_string()]).status()?;
        ensure(sent.success(), || format!("kill {name} failed"))
    }

    /// Waits for its end; what it said since it was up, and its exit code.
    pub(crate) fn wait(mut self) -> Result<(Option<i32>, String), Failed> {
        let status = self.child.wait()?;
        let mut said = String::new();
        self.stdout.read_to_string(&mut said)?;
        self.child.stderr.take().ok_or("no standard error")?.read_to_string(&mut said)?;
        Ok((status.code(), said))
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.signal("-INT");
            let _ = self.child.wait();
        }
    }
}

/// The command under test, with its control sockets in `folder`.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(TAPSTACK);
    command.args(arguments).env("XDG_RUNTIME_DIR", folder).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// Runs the command and returns what it prints. Errors: it fails, with all that it says.
pub(crate) fn tapstack(folder: &Path, arguments: &[&str]) -> Result<String, Failed> {
    let output = command(folder, arguments).output()?;
    ensure(output.status.success(), || format!("{arguments:?}: {}", everything(&output)))?;
    Ok(text(&output.stdout))
}

/// Runs the command, which has to fail with this exit code and say this.
pub(crate) fn refuses(folder: &Path, arguments: &[&str], code: i32, says: &str) -> Outcome {
    let output = command(folder, arguments).output()?;
    let said = text(&output.stderr);
    let one_line = said.lines().filter(|line| line.starts_with("error:")).count() == 1;
    ensure(output.status.code() == Some(code) && said.contains(says) && one_line, || {
        format!("{arguments:?} should say {says:?}: {}", everything(&output))
    })
}

/// Runs another program and returns what it prints. Errors: it fails.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<String, Failed> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output()?;
    ensure(output.status.success(), || format!("{program} {arguments:?}: {}", everything(&output)))?;
    Ok(text(&output.stdout))
}

/// Waits until something holds. Errors: it doesn't, in time.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) -> Outcome {
    let begun = Instant::now();
    while !holds() {
        ensure(begun.elapsed() < PATIENCE, || format!("waited in vain until {what}"))?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn everything(output: &Output) -> String {
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}

pub(crate) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(otherwise().into()) }
}

/// Asserts that a text has each of these in it.
pub(crate) fn says(text: &str, words: &[&str]) -> Outcome {
    words.iter().try_for_each(|word| ensure(text.contains(word), || format!("doesn't say {word:?}:\n{text}")))
}
