//! Tests of what needs no device: names, requests, and what errors say. Real devices are tested across crates.

use super::*;

#[test]
fn names_that_no_interface_can_have_are_refused() {
    for name in ["sixteen-bytes-xx", "a/b", "a b", "tap%d", ".", "..", "a:1", "nul\0"] {
        assert!(Ifreq::new(name).is_none(), "{name:?}");
        let options = TapOptions { name: Some(name.into()), ..TapOptions::default() };
        assert_eq!(Tap::open(options).map(|_| ()), Err(TapError::BadName(name.into())));
    }
    assert_eq!(Ifreq::new("fifteen-bytes-x").unwrap().name(), "fifteen-bytes-x");
    assert_eq!(Ifreq::new("").unwrap().name(), "");
}

#[test]
fn requests_hold_what_the_kernel_expects() {
    let mut request = Ifreq::new("tap7").unwrap();
    request.set_int(1400);
    assert_eq!(request.int(), 1400);
    request.set_address([10, 0, 0, 1].into());
    assert_eq!(request.value[..8], [AF_INET.to_ne_bytes()[0], AF_INET.to_ne_bytes()[1], 0, 0, 10, 0, 0, 1]);
    assert_eq!(TUNSETIFF, 0x4004_54ca);
    assert_eq!(TUNSETOFFLOAD, 0x4004_54d0);
}

#[test]
fn errors_say_what_to_do_next() {
    let name = || "tap7".to_owned();
    for (error, next) in [
        (TapError::NoTunDevice, "modprobe tun"),
        (TapError::MayNotOpen, "chmod 666 /dev/net/tun"),
        (
            TapError::MayNotConfigure { doing: "make a TAP", name: name() },
            "ip tuntap add tap7 mode tap user YOU",
        ),
        (TapError::MayNotConfigure { doing: "make a TAP", name: String::new() }, "unshare -Urn"),
        (TapError::NameInUse(name()), "choose another name"),
        (TapError::BadName("a/b".into()), "1 to 15 bytes"),
        (TapError::NotATap(name()), "ip link delete tap7"),
        (TapError::NoThreadedNapi(name()), "without NAPI"),
    ] {
        let text = error.to_string();
        assert!(text.contains(next), "{text}");
        assert!(io::Error::from(error).to_string().contains(next));
    }
    assert!(gone("tap7", Errno::BADFD).to_string().contains("was deleted"));
    assert_eq!(gone("tap7", Errno::IO).kind(), io::ErrorKind::NetworkDown);
}
