//! A client over a TAP: sends its standard input to port 7 on the kernel's side, and prints what comes back.

use std::net::{Shutdown, SocketAddr};
use std::time::Duration;
use std::{io, thread};
use tapstack::net::{blocking::TcpStream, tap::Machine};

#[allow(clippy::disallowed_methods)] // The stack starts no threads; programs may.
fn main() -> io::Result<()> {
    let machine = Machine::on_tap("tap0", "10.0.0.2/24".parse()?, "10.0.0.1/24".parse()?)?;
    let server = SocketAddr::from(([10, 0, 0, 1], 7));
    let mut stream = TcpStream::connect_timeout(&machine.host(), &server, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut sender = stream.try_clone()?;
    thread::spawn(move || {
        io::copy(&mut io::stdin(), &mut sender)?;
        sender.shutdown(Shutdown::Write)
    });
    io::copy(&mut stream, &mut io::stdout())?;
    Ok(())
}
