//! An echo server over a TAP, a thread for each connection: `unshare -Urn`, run it, and `nc 10.0.0.2 7` beside it.

use std::{io, thread};
use tapstack::net::{blocking::TcpListener, tap::Machine};

#[allow(clippy::disallowed_methods)] // The stack starts no threads; programs may.
fn main() -> io::Result<()> {
    let machine = Machine::on_tap("tap0", "10.0.0.2/24".parse()?, "10.0.0.1/24".parse()?)?;
    let listener = TcpListener::bind(&machine.host(), "0.0.0.0:7")?;
    println!("echo on {}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || {
            println!("{} came", stream.peer_addr()?);
            let bytes = io::copy(&mut &stream, &mut &stream)?;
            println!("{} left after {bytes} bytes", stream.peer_addr()?);
            io::Result::Ok(())
        });
    }
    Ok(())
}
