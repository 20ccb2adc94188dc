//! The few rtnetlink requests (RFC 3549, rtnetlink(7)) that furnish a network namespace, each waited for.
//!
//! ```text
//!  0      4      6       8     12    16
//! | len  | type | flags | seq | pid | family header | attributes: | len | type | value, padded | … |
//! ```

use super::why::TestbedError;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;
use tapstack::stack::{Cidr, MacAddr};

/// A netlink socket of the network namespace that the thread was in when it was opened.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

/// A route of the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Where to; a prefix length of 0 is the default route.
    pub destination: Cidr,
    /// By whom.
    pub gateway: Ipv4Addr,
}

impl Netlink {
    /// Opens one.
    pub fn open() -> Result<Netlink, TestbedError> {
        // No protocol's number is that of NETLINK_ROUTE.
        rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)
            .map(|socket| Netlink { socket, sequence: 0 })
            .map_err(|errno| TestbedError::system("open a netlink socket", errno))
    }

    /// Makes a bridge with this link address. It forwards at once (it speaks no spanning tree), and says nothing by
    /// itself (it doesn't snoop on multicast, for which it would join groups).
    pub fn add_bridge(&mut self, name: &str, mac: MacAddr) -> Result<(), TestbedError> {
        let mut request = Request::link(RTM_NEWLINK, CREATE, 0);
        request.text(IFLA_IFNAME, name);
        request.attribute(IFLA_ADDRESS, &mac.0);
        request.nest(IFLA_LINKINFO, |info| {
            info.text(IFLA_INFO_KIND, "bridge");
            info.nest(IFLA_INFO_DATA, |data| data.attribute(IFLA_BR_MCAST_SNOOPING, &[0]));
        });
        self.send(format!("make the bridge {name}"), request)
    }

    /// Makes a virtual cable: two interfaces, of which the second can lie in another namespace.
    pub fn add_veth(
        &mut self,
        name: &str,
        peer: &str,
        peer_ns: Option<&impl AsFd>,
    ) -> Result<(), TestbedError> {
        let mut request = Request::link(RTM_NEWLINK, CREATE, 0);
        request.text(IFLA_IFNAME, name);
        request.nest(IFLA_LINKINFO, |info| {
            info.text(IFLA_INFO_KIND, "veth");
            info.nest(IFLA_INFO_DATA, |data| {
                data.nest(VETH_INFO_PEER, |end| {
                    end.put(&ifinfomsg(0, 0, 0));
                    end.text(IFLA_IFNAME, peer);
                    if let Some(ns) = peer_ns {
                        end.attribute(IFLA_NET_NS_FD, &ns.as_fd().as_raw_fd().to_ne_bytes());
                    }
                });
            });
        });
        self.send(format!("make the virtual cable {name} to {peer}"), request)
    }

    /// Removes an interface; of a virtual cable, both ends.
    pub fn delete(&mut self, name: &str) -> Result<(), TestbedError> {
        let index = self.index(name)?;
        self.send(format!("remove {name}"), Request::link(RTM_DELLINK, 0, index))
    }

    /// Takes an interface up.
    pub fn set_up(&mut self, name: &str) -> Result<(), TestbedError> {
        self.set_flags(name, IFF_UP)
    }

    /// Takes an interface down.
    pub fn set_down(&mut self, name: &str) -> Result<(), TestbedError> {
        self.set_flags(name, 0)
    }

    /// Plugs an interface into a bridge.
    pub fn set_master(&mut self, name: &str, bridge: &str) -> Result<(), TestbedError> {
        let master = self.index(bridge)?;
        let doing = format!("plug {name} into {bridge}");
        self.change(name, doing, |request| request.attribute(IFLA_MASTER, &master.to_ne_bytes()))
    }

    /// Takes an interface out of the bridge that it is in.
    pub fn clear_master(&mut self, name: &str) -> Result<(), TestbedError> {
        let doing = format!("take {name} out of its bridge");
        self.change(name, doing, |request| request.attribute(IFLA_MASTER, &0u32.to_ne_bytes()))
    }

    /// Sets the largest IP packet that an interface carries, in bytes.
    pub fn set_mtu(&mut self, name: &str, mtu: u16) -> Result<(), TestbedError> {
        let doing = format!("set the MTU of {name}");
        self.change(name, doing, |request| request.attribute(IFLA_MTU, &u32::from(mtu).to_ne_bytes()))
    }

    /// Sets how many frames wait in front of an interface before they are dropped.
    pub fn set_queue_len(&mut self, name: &str, frames: u32) -> Result<(), TestbedError> {
        let doing = format!("set the queue's length of {name}");
        self.change(name, doing, |request| request.attribute(IFLA_TXQLEN, &frames.to_ne_bytes()))
    }

    /// Moves an interface into another network namespace.
    pub fn move_to(&mut self, name: &str, ns: &impl AsFd) -> Result<(), TestbedError> {
        let fd = ns.as_fd().as_raw_fd();
        let doing = format!("move {name} into another namespace");
        self.change(name, doing, |request| request.attribute(IFLA_NET_NS_FD, &fd.to_ne_bytes()))
    }

    /// Gives an interface an address, with its prefix on the link.
    pub fn add_address(&mut self, name: &str, cidr: Cidr) -> Result<(), TestbedError> {
        let request = Request::address(RTM_NEWADDR, CREATE, self.index(name)?, cidr);
        self.send(format!("give {name} the address {cidr}"), request)
    }

    /// Takes an address from an interface.
    pub fn delete_address(&mut self, name: &str, cidr: Cidr) -> Result<(), TestbedError> {
        let request = Request::address(RTM_DELADDR, 0, self.index(name)?, cidr);
        self.send(format!("take the address {cidr} from {name}"), request)
    }

    /// Adds a route by a gateway on one of the links.
    pub fn add_route(&mut self, route: Route) -> Result<(), TestbedError> {
        let Route { destination, gateway } = route;
        let mut request = Request::new(RTM_NEWROUTE, CREATE);
        // struct rtmsg: family, destination's and source's prefix lengths, TOS, table, protocol, scope, type, flags.
        request.put(&[
            AF_INET,
            destination.prefix_len,
            0,
            0,
            RT_TABLE_MAIN,
            RTPROT_BOOT,
            RT_SCOPE_UNIVERSE,
            RTN_UNICAST,
        ]);
        request.put(&[0; 4]);
        if destination.prefix_len > 0 {
            request.attribute(RTA_DST, &destination.address.octets());
        }
        request.attribute(RTA_GATEWAY, &gateway.octets());
        let doing = format!("add a route to {}/{} by {gateway}", destination.address, destination.prefix_len);
        self.send(doing, request)
    }

    /// Waits until an interface that was taken up, and whose other end is, really sends: the kernel notices that from
    /// a queue of its own, and until then drops what is sent.
    pub fn wait_running(&mut self, name: &str) -> Result<(), TestbedError> {
        let mut tries_left = RUNNING_TRIES_MAX;
        while self.flags(name)? & IFF_RUNNING == 0 {
            if tries_left == 0 {
                return Err(TestbedError::system(format!("wait until {name} is running"), Errno::TIMEDOUT));
            }
            tries_left -= 1;
            std::thread::sleep(RUNNING_TRY_EVERY);
        }
        // The flag shows a moment before the queue is opened, under the lock that this request takes as well.
        self.set_up(name)
    }

    fn flags(&mut self, name: &str) -> Result<u32, TestbedError> {
        let mut request = Request::new(RTM_GETLINK, 0);
        request.put(&ifinfomsg(self.index(name)?, 0, 0));
        let mut flags = 0;
        self.send_and_read(format!("ask for the flags of {name}"), request, |answer| {
            flags = answer
                .get(HEADER_LEN + 8..)
                .and_then(|rest| rest.first_chunk())
                .map_or(0, |&f| u32::from_ne_bytes(f));
        })?;
        Ok(flags)
    }

    /// An interface's number in its namespace.
    pub fn index(&self, name: &str) -> Result<u32, TestbedError> {
        rustix::net::netdevice::name_to_index(&self.socket, name)
            .map_err(|errno| TestbedError::system(format!("find the interface {name}"), errno))
    }

    fn set_flags(&mut self, name: &str, flags: u32) -> Result<(), TestbedError> {
        let mut request = Request::new(RTM_NEWLINK, 0);
        request.put(&ifinfomsg(self.index(name)?, flags, IFF_UP));
        self.send(format!("take {name} {}", if flags == IFF_UP { "up" } else { "down" }), request)
    }

    fn change(
        &mut self,
        name: &str,
        doing: String,
        fill: impl FnOnce(&mut Request),
    ) -> Result<(), TestbedError> {
        let mut request = Request::link(RTM_NEWLINK, 0, self.index(name)?);
        fill(&mut request);
        self.send(doing, request)
    }

    /// Sends a request and waits for the kernel's word on it.
    fn send(&mut self, doing: String, request: Request) -> Result<(), TestbedError> {
        self.send_and_read(doing, request, |_| ())
    }

    /// The same; `read` is shown what the kernel answers before its last word.
    fn send_and_read(
        &mut self,
        doing: String,
        request: Request,
        read: impl FnMut(&[u8]),
    ) -> Result<(), TestbedError> {
        self.sequence += 1;
        let message = request.finish(self.sequence);
        self.exchange(&message, read).map_err(|errno| TestbedError::system(doing, errno))
    }

    fn exchange(&self, message: &[u8], mut read: impl FnMut(&[u8])) -> Result<(), Errno> {
        rustix::net::send(&self.socket, message, SendFlags::empty())?;
        let mut answer = [0; ANSWER_MAX];
        loop {
            let (len, _) = rustix::net::recv(&self.socket, &mut answer[..], RecvFlags::empty())?;
            let answer = answer.get(..len).unwrap_or(&[]);
            match verdict(answer, self.sequence) {
                Some(result) => return result,
                None => read(answer),
            }
        }
    }
}

/// What an answer says about the request with this number; none if it is about another.
fn verdict(answer: &[u8], sequence: u32) -> Option<Result<(), Errno>> {
    let word = |at: usize| answer.get(at..at + 4).and_then(|word| word.first_chunk()).copied();
    let kind = answer.get(4..6).and_then(|kind| kind.first_chunk()).copied().map(u16::from_ne_bytes);
    if kind != Some(NLMSG_ERROR) || word(8).map(u32::from_ne_bytes) != Some(sequence) {
        return None;
    }
    // struct nlmsgerr: a negative errno, 0 for an acknowledgement; the request follows.
    match word(16).map(i32::from_ne_bytes) {
        Some(0) => Some(Ok(())),
        Some(error) => Some(Err(Errno::from_raw_os_error(error.saturating_neg()))),
        None => Some(Err(Errno::BADMSG)),
    }
}

/// A request that is being put together.
struct Request(Vec<u8>);

impl Request {
    fn new(kind: u16, flags: u16) -> Request {
        let mut header = vec![0; HEADER_LEN];
        header[4..6].copy_from_slice(&kind.to_ne_bytes());
        header[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
        Request(header)
    }

    fn link(kind: u16, flags: u16, index: u32) -> Request {
        let mut request = Request::new(kind, flags);
        request.put(&ifinfomsg(index, 0, 0));
        request
    }

    /// A request about an interface's address.
    fn address(kind: u16, flags: u16, index: u32, cidr: Cidr) -> Request {
        let mut request = Request::new(kind, flags);
        // struct ifaddrmsg: family, prefix length, flags, scope, index.
        request.put(&[AF_INET, cidr.prefix_len, 0, 0]);
        request.put(&index.to_ne_bytes());
        request.attribute(IFA_LOCAL, &cidr.address.octets());
        request.attribute(IFA_ADDRESS, &cidr.address.octets());
        request
    }

    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.nest(kind, |request| request.put(value));
    }

    fn text(&mut self, kind: u16, text: &str) {
        self.attribute(kind, &[text.as_bytes(), &[0]].concat());
    }

    /// An attribute around whatever `fill` adds.
    fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Request)) {
        let start = self.0.len();
        self.put(&[0; 2]);
        self.put(&kind.to_ne_bytes());
        fill(self);
        // Requests are a few hundred bytes of our own.
        let len = (self.0.len() - start) as u16;
        self.0[start..start + 2].copy_from_slice(&len.to_ne_bytes());
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn finish(mut self, sequence: u32) -> Vec<u8> {
        let len = self.0.len() as u32;
        self.0[..4].copy_from_slice(&len.to_ne_bytes());
        self.0[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.0
    }
}

/// `struct ifinfomsg`: family, device type, index, flags, and which of them to change.
fn ifinfomsg(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..].copy_from_slice(&change.to_ne_bytes());
    header
}

/// Bytes of an answer at most: an error repeats the request.
const ANSWER_MAX: usize = 8192;
/// How often, and how many times, an interface is asked whether it runs: the kernel takes a second at most.
const RUNNING_TRY_EVERY: Duration = Duration::from_millis(2);
const RUNNING_TRIES_MAX: u32 = 1500;

// From <linux/netlink.h>, <linux/rtnetlink.h>, <linux/if_link.h> and <linux/veth.h>.
const HEADER_LEN: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
/// NLM_F_EXCL and NLM_F_CREATE: what is there already is an error.
const CREATE: u16 = 0x200 | 0x400;
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const AF_INET: u8 = 2;
const IFF_UP: u32 = 1;
const IFF_RUNNING: u32 = 0x40;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_TXQLEN: u16 = 13;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_BR_MCAST_SNOOPING: u16 = 23;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_DST: u16 = 1;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RTN_UNICAST: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn requests_are_laid_out_as_the_kernel_reads_them() {
        let mut request = Request::link(RTM_NEWLINK, CREATE, 7);
        request.text(IFLA_IFNAME, "br0x");
        request.nest(IFLA_LINKINFO, |info| info.text(IFLA_INFO_KIND, "bridge"));
        let expected = [
            &[60u8, 0, 0, 0, 16, 0, 5, 6, 9, 0, 0, 0, 0, 0, 0, 0][..],
            &[0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            // A name of four letters and its zero, padded to a multiple of four.
            &[9, 0, 3, 0, b'b', b'r', b'0', b'x', 0, 0, 0, 0],
            &[16, 0, 18, 0, 11, 0, 1, 0, b'b', b'r', b'i', b'd', b'g', b'e', 0, 0],
        ];
        assert_eq!(request.finish(9), expected.concat());
    }

    #[test]
    fn answers_are_told_apart() {
        let answer = |kind: u16, sequence: u32, error: i32| {
            let mut answer = vec![36, 0, 0, 0];
            answer.extend_from_slice(&kind.to_ne_bytes());
            answer.extend_from_slice(&[0, 0]);
            answer.extend_from_slice(&sequence.to_ne_bytes());
            answer.extend_from_slice(&[0; 4]);
            answer.extend_from_slice(&error.to_ne_bytes());
            answer
        };
        assert_eq!(verdict(&answer(NLMSG_ERROR, 5, 0), 5), Some(Ok(())));
        assert_eq!(verdict(&answer(NLMSG_ERROR, 5, -17), 5), Some(Err(Errno::EXIST)));
        assert_eq!(verdict(&answer(NLMSG_ERROR, 4, -17), 5), None);
        assert_eq!(verdict(&answer(RTM_NEWLINK, 5, 0), 5), None);
        assert_eq!(verdict(&answer(NLMSG_ERROR, 5, 0)[..18], 5), Some(Err(Errno::BADMSG)));
        assert_eq!(verdict(&[], 5), None);
    }
}
