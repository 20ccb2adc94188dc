//! A program that owns its loop: it waits for the machine and for its own input at once, and echoes datagrams besides.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, BufRead};
use std::time::Duration;
use tapstack::net::{UdpSocket, tap::Machine};

fn main() -> io::Result<()> {
    let machine = Machine::on_tap("tap0", "10.0.0.2/24".parse()?, "10.0.0.1/24".parse()?)?;
    let host = machine.host();
    let _echo = host.spawn(echo(host.udp_bind(([0, 0, 0, 0], 7).into())?));
    println!("echo of datagrams on port 7, until a line is entered");
    let stdin = io::stdin();
    loop {
        let wait = machine.next_deadline().map(|deadline| Timespec::try_from(deadline - host.now()));
        let mut ready = [PollFd::new(&machine, PollFlags::IN), PollFd::new(&stdin, PollFlags::IN)];
        poll(&mut ready, wait.transpose().ok().flatten().as_ref())?;
        if !ready[1].revents().is_empty() {
            println!("{}", stdin.lock().lines().next().transpose()?.unwrap_or_default());
            return Ok(());
        }
        machine.turn(Some(Duration::ZERO))?;
    }
}

async fn echo(socket: UdpSocket) -> io::Result<()> {
    let mut buffer = [0; 2048];
    loop {
        let (len, from) = socket.recv_from(&mut buffer).await?;
        socket.send_to(&buffer[..len], from).await?;
    }
}
