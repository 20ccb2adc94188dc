//! What a machine is to be: the command line over the TOML file over what is usual, checked before anything is made.

use super::args::UpArgs;
use crate::control::{RouteSpec, is_name};
use serde::Deserialize;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use tapstack::stack::Cidr;

/// A machine to be made.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) taps: Vec<TapPlan>,
    pub(super) forwarding: bool,
    pub(super) routes: Vec<RouteSpec>,
    pub(super) www: Option<PathBuf>,
    pub(super) capture: Option<PathBuf>,
    pub(super) private: bool,
}

/// One of its TAPs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TapPlan {
    /// None takes the kernel's next free name.
    pub(super) name: Option<String>,
    pub(super) addresses: Vec<Cidr>,
    pub(super) host: HostSide,
    pub(super) mtu: u16,
    pub(super) offload: bool,
}

/// What the kernel does with its side of a TAP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostSide {
    /// It has an address there.
    Address(Cidr),
    /// It is a port of this bridge.
    Bridge(String),
    /// Nothing.
    Nothing,
}

/// The file of `--config`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct FilePlan {
    name: Option<String>,
    gateway: Option<Ipv4Addr>,
    forwarding: Option<bool>,
    www: Option<PathBuf>,
    capture: Option<PathBuf>,
    #[serde(default)]
    private: bool,
    #[serde(default)]
    tap: Vec<TapText>,
    #[serde(default)]
    route: Vec<RouteText>,
}

/// A TAP as it is written, on the command line or in a file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct TapText {
    name: Option<String>,
    address: Option<String>,
    #[serde(default)]
    addresses: Vec<String>,
    host_address: Option<String>,
    bridge: Option<String>,
    mtu: Option<u16>,
    #[serde(default)]
    offload: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteText {
    to: String,
    via: Option<Ipv4Addr>,
    dev: Option<String>,
    metric: Option<u32>,
}

impl Plan {
    /// Makes a plan of the command line and the file that it names. Errors: what is wrong, in one line.
    pub(super) fn read(args: &UpArgs) -> Result<Plan, String> {
        let file = match &args.config {
            None => FilePlan::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    format!("can't read {}: {}", path.display(), crate::ui::reason(&error))
                })?;
                let file = toml::from_str(&text);
                file.map_err(|error| format!("{}: {}", path.display(), one_line(&error, &text)))?
            }
        };
        Plan::merge(args, file)
    }

    fn merge(args: &UpArgs, file: FilePlan) -> Result<Plan, String> {
        let name = args.name.clone().or(file.name).unwrap_or_else(|| NAME_DEFAULT.to_owned());
        if !is_name(&name) {
            return Err(format!(
                "{name:?} can't name a machine: it takes 1 to 32 letters, digits, - _ and ."
            ));
        }
        let taps = tap_texts(args, file.tap)?;
        let taps = taps.iter().map(TapText::check).collect::<Result<Vec<_>, String>>()?;
        check_together(&taps)?;
        let mut routes = Vec::new();
        for text in &args.route {
            routes.push(RouteSpec::parse(text.split_whitespace())?);
        }
        for text in &file.route {
            let RouteText { to, via, dev, metric } = text;
            let destination = RouteSpec::parse([to.as_str()])?;
            routes.push(RouteSpec { via: *via, dev: dev.clone(), metric: *metric, ..destination });
        }
        if let Some(gateway) = args.gateway.or(file.gateway) {
            let to = Ipv4Addr::UNSPECIFIED;
            routes.push(RouteSpec { to, prefix_len: 0, via: Some(gateway), dev: None, metric: None });
        }
        let forwarding = !args.no_forwarding && file.forwarding.unwrap_or(taps.len() > 1);
        Ok(Plan {
            name,
            taps,
            forwarding,
            routes,
            www: args.www.clone().or(file.www),
            capture: args.capture.clone().or(file.capture),
            private: args.private || file.private,
        })
    }

    /// Its first address, which is what a user is shown.
    pub(super) fn address(&self) -> Ipv4Addr {
        let first = self.taps.first().and_then(|tap| tap.addresses.first());
        first.map_or(Ipv4Addr::UNSPECIFIED, |cidr| cidr.address)
    }
}

/// The TAPs as they are written: each `--tap`, or the one that the plain options are about, or the file's.
fn tap_texts(args: &UpArgs, mut file: Vec<TapText>) -> Result<Vec<TapText>, String> {
    if !args.tap.is_empty() {
        return args.tap.iter().map(|text| TapText::parse(text)).collect();
    }
    let plain = !args.address.is_empty()
        || args.host_address.is_some()
        || args.bridge.is_some()
        || args.mtu.is_some()
        || args.offload;
    if file.len() > 1 && plain {
        return Err("the file has several TAPs: say with --tap what is to be otherwise".to_owned());
    }
    let mut tap = file.pop().unwrap_or_default();
    if !file.is_empty() {
        file.push(tap);
        return Ok(file);
    }
    if !args.address.is_empty() {
        (tap.address, tap.addresses) = (None, args.address.clone());
    }
    if args.host_address.is_some() {
        (tap.host_address, tap.bridge) = (args.host_address.clone(), None);
    }
    if args.bridge.is_some() {
        (tap.host_address, tap.bridge) = (None, args.bridge.clone());
    }
    tap.mtu = args.mtu.or(tap.mtu);
    tap.offload |= args.offload;
    if tap.address.is_none() && tap.addresses.is_empty() {
        tap.address = Some(ADDRESS_DEFAULT.to_owned());
    }
    Ok(vec![tap])
}

impl TapText {
    /// Reads `name=tap0,address=10.0.0.2/24,…`; a key may come again where several make sense.
    fn parse(text: &str) -> Result<TapText, String> {
        let mut tap = TapText::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let value_of = || value.to_owned();
            match (key, value.is_empty()) {
                ("offload", true) => tap.offload = true,
                ("name", false) => tap.name = Some(value_of()),
                ("address", false) => tap.addresses.push(value_of()),
                ("host-address", false) => tap.host_address = Some(value_of()),
                ("bridge", false) => tap.bridge = Some(value_of()),
                ("mtu", false) => {
                    tap.mtu = Some(value.parse().map_err(|_| format!("{value:?} is no MTU"))?);
                }
                _ => {
                    return Err(format!(
                        "{part:?} is not known of a TAP: it takes name=, address=, host-address=, bridge=, mtu= \
                         and offload"
                    ));
                }
            }
        }
        Ok(tap)
    }

    fn check(&self) -> Result<TapPlan, String> {
        let addresses: Result<Vec<Cidr>, String> =
            self.address.iter().chain(&self.addresses).map(|text| parse_cidr(text)).collect();
        let addresses = addresses?;
        let Some(first) = addresses.first() else {
            return Err("each TAP needs an address, such as address=10.1.0.1/24".to_owned());
        };
        let host = match (&self.bridge, self.host_address.as_deref()) {
            (Some(_), Some(_)) => {
                return Err("a TAP has a host-address or a bridge, not both".to_owned());
            }
            (Some(bridge), None) => HostSide::Bridge(bridge.clone()),
            (None, Some("none")) => HostSide::Nothing,
            (None, Some(text)) => HostSide::Address(parse_cidr(text)?),
            (None, None) => first_free(*first, &addresses).map_or(HostSide::Nothing, HostSide::Address),
        };
        if let HostSide::Address(host) = &host
            && addresses.iter().any(|own| own.address == host.address)
        {
            return Err(format!("{} can't be the machine's and the kernel's address", host.address));
        }
        let mtu = self.mtu.unwrap_or(MTU_DEFAULT);
        if !(MTU_MIN..=MTU_MAX).contains(&mtu) {
            return Err(format!("an MTU is a number from {MTU_MIN} to {MTU_MAX}, not {mtu}"));
        }
        Ok(TapPlan { name: self.name.clone(), addresses, host, mtu, offload: self.offload })
    }
}

/// Addresses and names occur once, and networks don't overlap: nobody could tell which TAP is meant.
fn check_together(taps: &[TapPlan]) -> Result<(), String> {
    for (index, tap) in taps.iter().enumerate() {
        for other in taps.iter().skip(index + 1) {
            if tap.name.is_some() && tap.name == other.name {
                return Err(format!("two TAPs are named {}", tap.name.as_deref().unwrap_or_default()));
            }
            for (one, two) in
                tap.addresses.iter().flat_map(|one| other.addresses.iter().map(move |two| (one, two)))
            {
                if overlap(*one, *two) {
                    return Err(format!("{one} and {two} overlap: each TAP has a network of its own"));
                }
            }
        }
    }
    Ok(())
}

/// Whether two networks share an address.
pub(super) fn overlap(one: Cidr, two: Cidr) -> bool {
    one.contains(two.network()) || two.contains(one.network())
}

/// The first address of a network that isn't the machine's.
fn first_free(network: Cidr, own: &[Cidr]) -> Option<Cidr> {
    let first = if network.prefix_len >= 31 { 0 } else { 1 };
    let free = (first..first + 1 + own.len() as u32)
        .map(|offset| Ipv4Addr::from_bits(network.network().to_bits().wrapping_add(offset)))
        .find(|candidate| own.iter().all(|own| own.address != *candidate))
        .filter(|candidate| network.contains(*candidate) && network.broadcast() != Some(*candidate));
    free.map(|address| Cidr::new(address, network.prefix_len))
}

fn parse_cidr(text: &str) -> Result<Cidr, String> {
    let wrong = || format!("{text:?} is no address with a prefix, such as 10.0.0.2/24");
    let (address, len) = text.split_once('/').ok_or_else(wrong)?;
    let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
    let prefix_len: u8 = len.parse().ok().filter(|len| *len <= 32).ok_or_else(wrong)?;
    let cidr = Cidr::new(address, prefix_len);
    let is_no_host = address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || address.is_broadcast()
        || (prefix_len < 31 && [Some(cidr.network()), cidr.broadcast()].contains(&Some(address)));
    if is_no_host {
        return Err(format!("{address} can't be a host's address in {}/{prefix_len}", cidr.network()));
    }
    Ok(cidr)
}

/// What toml says in several lines, in one, with the line that it is about.
fn one_line(error: &toml::de::Error, text: &str) -> String {
    let at = error.span().and_then(|span| text.get(..span.start)).map(|before| before.lines().count().max(1));
    let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
    at.map_or_else(|| message.clone(), |line| format!("line {line}: {message}"))
}

const NAME_DEFAULT: &str = "tapstack";
const ADDRESS_DEFAULT: &str = "10.0.0.2/24";
const MTU_DEFAULT: u16 = 1500;
/// What every link has to carry, in bytes (RFC 791 section 3.2).
const MTU_MIN: u16 = 68;
/// The most that the kernel gives a TAP, in bytes.
const MTU_MAX: u16 = 65_521;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Command, parse};

    fn plan(words: &str, file: &str) -> Result<Plan, String> {
        let words = ["tapstack", "up"].into_iter().chain(words.split_whitespace());
        let cli = parse(words.map(std::ffi::OsString::from)).map_err(|stop| format!("{stop:?}"))?;
        let Command::Up(args) = cli.command else { panic!("another command") };
        Plan::merge(&args, toml::from_str(file).map_err(|error| one_line(&error, file))?)
    }

    fn cidr(text: &str) -> Cidr {
        parse_cidr(text).unwrap()
    }

    #[test]
    fn nothing_said_is_one_tap_with_the_kernel_beside_it() {
        let plan = plan("", "").unwrap();
        assert_eq!((plan.name.as_str(), plan.forwarding, plan.private), ("tapstack", false, false));
        let tap = &plan.taps[0];
        assert_eq!((tap.addresses.as_slice(), tap.mtu), (&[cidr("10.0.0.2/24")][..], 1500));
        assert_eq!(tap.host, HostSide::Address(cidr("10.0.0.1/24")));
        let other = self::plan("--address 192.168.7.1/30", "").unwrap();
        assert_eq!(other.taps[0].host, HostSide::Address(cidr("192.168.7.2/30")));
    }

    #[test]
    fn the_command_line_wins_over_the_file() {
        let file = "name = 'm'\ngateway = '10.9.0.3'\nprivate = true\n[[tap]]\naddress = '10.9.0.2/24'\nmtu = 9000\n\
            [[route]]\nto = '10.3.0.0/16'\nvia = '10.9.0.4'";
        let plan = plan("--name n --mtu 1400 --offload", file).unwrap();
        let tap = &plan.taps[0];
        assert_eq!((plan.name.as_str(), plan.private, tap.mtu, tap.offload), ("n", true, 1400, true));
        assert_eq!(tap.addresses, [cidr("10.9.0.2/24")]);
        let vias: Vec<_> = plan.routes.iter().map(|route| (route.prefix_len, route.via)).collect();
        assert_eq!(vias, [(16, "10.9.0.4".parse().ok()), (0, "10.9.0.3".parse().ok())]);
    }

    #[test]
    fn several_taps_make_a_router() {
        let taps = "--tap name=a,address=10.1.0.1/24,bridge=br1 --tap address=10.2.0.1/24,host-address=none,mtu=1400";
        let plan = plan(taps, "").unwrap();
        assert!(plan.forwarding);
        assert_eq!(plan.taps[0].host, HostSide::Bridge("br1".to_owned()));
        assert_eq!((&plan.taps[1].host, plan.taps[1].mtu), (&HostSide::Nothing, 1400));
        assert!(!self::plan(&format!("{taps} --no-forwarding"), "").unwrap().forwarding);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_reason() {
        for (words, file, says) in [
            ("--address 10.0.0.0/24", "", "can't be a host's address"),
            ("--address 10.0.0.255/24", "", "can't be a host's address"),
            ("--address 127.0.0.2/8", "", "can't be a host's address"),
            ("--address 10.0.0.2", "", "with a prefix"),
            ("--host-address 10.0.0.2/24", "", "machine's and the kernel's"),
            ("--mtu 60", "", "MTU"),
            ("--name a/b", "", "can't name a machine"),
            ("--tap mtu=1400", "", "needs an address"),
            ("--tap colour=red", "", "not known of a TAP"),
            ("--tap address=10.1.0.1/16 --tap address=10.1.2.1/24", "", "overlap"),
            ("", "nmae = 'x'", "unknown field `nmae`"),
            ("", "x", "line 1"),
            ("", "[[tap]]\naddress = '10.0.0.2/24'\nbridge = 'b'\nhost-address = '10.0.0.1/24'", "not both"),
        ] {
            let error = plan(words, file).unwrap_err();
            assert!(error.contains(says) && !error.contains('\n'), "{words} {file}: {error}");
        }
    }
}
