//! Frames as Linux sent them over a pair of virtual Ethernet devices, for the tests of the wire formats.

/// The bytes of a captured frame, spaces ignored.
pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// 10.9.0.1 asks who has 10.9.0.2.
pub(crate) const ARP_REQUEST: &str = "ffffffffffff d627f984734b 0806
    0001 0800 06 04 0001 d627f984734b 0a090001 000000000000 0a090002";

/// 10.9.0.2 answers.
pub(crate) const ARP_REPLY: &str = "d627f984734b 862183a51616 0806
    0001 0800 06 04 0002 862183a51616 0a090002 d627f984734b 0a090001";

/// 10.9.0.1 pings 10.9.0.2 with 16 bytes.
pub(crate) const ECHO_REQUEST: &str = "862183a51616 d627f984734b 0800
    4500 002c d660 4000 4001 505c 0a090001 0a090002
    0800 b3cd 258c 0001 322e036b00000000 e80b010000000000";

/// 10.9.0.2 answers.
pub(crate) const ECHO_REPLY: &str = "d627f984734b 862183a51616 0800
    4500 002c 75a7 0000 4001 f115 0a090002 0a090001
    0000 bbcd 258c 0001 322e036b00000000 e80b010000000000";

/// The second and last fragment of a ping with 1600 bytes: its IP header and first bytes.
pub(crate) const LAST_FRAGMENT_HEADER: &str = "4500 0094 d661 00b9 4001 8f3a 0a090001 0a090002";

/// 10.9.0.1 sends "knock" to port 9999.
pub(crate) const UDP_KNOCK: &str = "862183a51616 d627f984734b 0800
    4500 0021 435e 4000 4011 e359 0a090001 0a090002
    c700 270f 000d b7dd 6b6e6f636b";

/// 10.9.0.2 says that there is nobody on that port.
pub(crate) const PORT_UNREACHABLE: &str = "d627f984734b 862183a51616 0800
    45c0 003d 763d 0000 4001 efae 0a090002 0a090001
    0303 1130 0000 0000
    4500 0021 435e 4000 4011 e359 0a090001 0a090002
    c700 270f 000d b7dd 6b6e6f636b";

/// 10.9.0.1 connects to port 7000.
pub(crate) const TCP_SYN: &str = "862183a51616 d627f984734b 0800
    4500 003c 6a52 4000 4006 bc55 0a090001 0a090002
    ece8 1b58 7397a511 00000000 a002 faf0 e5a6 0000
    0204 05b4 0402 080a 3578fcee 00000000 01 03030a";

/// 10.9.0.1 sends "hello" on that connection.
pub(crate) const TCP_DATA: &str = "862183a51616 d627f984734b 0800
    4500 0039 6a54 4000 4006 bc56 0a090001 0a090002
    ece8 1b58 7397a512 dc0ef926 8018 003f 4e0b 0000
    0101 080a 3578fcef a8f8fefd
    68656c6c6f";

/// 10.9.0.2 refuses a connection to port 7999.
pub(crate) const TCP_RST: &str = "d627f984734b 862183a51616 0800
    4500 0028 0000 4000 4006 26bc 0a090002 0a090001
    1f3f d31c 00000000 2e8e51d5 5014 0000 28fd 0000";
