//! A command's side of the control socket: finds the machine, asks, reads the answer.

use super::folder::{folder, running};
use super::protocol::{Reply, Request};
use crate::Failure;
use crate::ui;
use rustix::process::geteuid;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// A machine that is up.
#[derive(Clone)]
pub(crate) struct Machine {
    path: PathBuf,
    name: String,
}

impl Machine {
    /// Finds the machine of this name, or the only one. Errors: none is up, or several are and none was named.
    pub(crate) fn find(name: Option<&str>) -> Result<Machine, Failure> {
        let folder = folder();
        let names = running(&folder);
        let name = match (name, names.as_slice()) {
            (Some(name), _) if names.iter().any(|one| one == name) => name.to_owned(),
            (Some(name), []) => return Err(none_is_up(&format!("no machine named {name} is up"))),
            (Some(name), _) => {
                let up = names.join(", ");
                return Err(Failure::Failed(format!("no machine named {name} is up; these are: {up}")));
            }
            (None, [one]) => one.clone(),
            (None, []) => return Err(none_is_up("no machine is up")),
            (None, _) => {
                let up = names.join(", ");
                return Err(Failure::Failed(format!(
                    "several machines are up: pick one of {up} with --name"
                )));
            }
        };
        Ok(Machine { path: folder.join(format!("{name}.sock")), name })
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Asks for something that is answered within `wait` and a little. Errors: what the machine says, or that it
    /// doesn't.
    pub(crate) fn ask(&self, request: &Request, wait: Duration) -> Result<Reply, Failure> {
        let stream = self.send(request).map_err(|error| self.silent(&error))?;
        self.reply(&stream, wait).map_err(|error| self.silent(&error)).and_then(|reply| match reply {
            Reply::Failed { why } => Err(Failure::Failed(why)),
            reply => Ok(reply),
        })
    }

    /// Opens a netcat session.
    pub(super) fn open(&self, request: &Request, wait: Duration) -> Result<(UnixStream, Reply), Failure> {
        let stream = self.send(request).map_err(|error| self.silent(&error))?;
        match self.reply(&stream, wait).map_err(|error| self.silent(&error))? {
            Reply::Failed { why } => Err(Failure::Failed(why)),
            reply => {
                stream.set_read_timeout(None).map_err(|error| self.silent(&error))?;
                Ok((stream, reply))
            }
        }
    }

    fn send(&self, request: &Request) -> io::Result<UnixStream> {
        let mut stream = UnixStream::connect(&self.path)?;
        let peer = rustix::net::sockopt::socket_peercred(&stream)?;
        if peer.uid != geteuid() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is somebody else's"));
        }
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        stream.set_write_timeout(Some(GRACE))?;
        stream.write_all(&line)?;
        Ok(stream)
    }

    /// Reads one line, and not a byte of what follows it.
    fn reply(&self, stream: &UnixStream, wait: Duration) -> io::Result<Reply> {
        stream.set_read_timeout(Some(wait + GRACE))?;
        let mut line = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            // Looked at first, so that the frames behind the line stay where they are.
            let len = rustix::net::recv(stream, &mut chunk[..], rustix::net::RecvFlags::PEEK)?.0;
            let peeked = chunk.get(..len).unwrap_or_default();
            let end = peeked.iter().position(|&byte| byte == b'\n');
            let take = end.map_or(len, |end| end + 1);
            (&*stream).read_exact(chunk.get_mut(..take).unwrap_or_default())?;
            line.extend_from_slice(chunk.get(..take).unwrap_or_default());
            match (end, len) {
                (Some(_), _) => return Ok(serde_json::from_slice(&line)?),
                (None, 0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                (None, _) => {}
            }
        }
    }

    fn silent(&self, error: &io::Error) -> Failure {
        Failure::Failed(format!("the machine {} does not answer: {}", self.name, ui::reason(error)))
    }
}

fn none_is_up(what: &str) -> Failure {
    Failure::Failed(format!("{what}: start one with `tapstack up` (as the same user)"))
}

/// What a machine may take longer than it was told.
const GRACE: Duration = Duration::from_secs(10);
