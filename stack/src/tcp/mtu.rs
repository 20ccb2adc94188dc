//! Path MTU: what ICMP says (RFC 1191), and what time-outs suggest where ICMP is swallowed (RFC 4821).

use super::config::TcpConfig;
use super::connection::{Connection, HEADERS_BYTES};
use crate::time::{Duration, Instant};

/// The smallest path MTU that an ICMP error is believed about, in bytes (Linux's `min_pmtu`): below it, forged errors
/// could make every segment tiny.
pub(crate) const PATH_MTU_MIN: u16 = 552;
/// Time-outs in a row after which a black hole is suspected (Linux's `tcp_retries1`).
const BLACK_HOLE_TIMEOUTS: u8 = 3;
/// How long after a failed probe the next one is tried (RFC 4821 section 7.7).
const PROBE_INTERVAL: Duration = Duration::from_secs(600);
/// How long after a suspicion the old MTU is tried again: it may have been plain loss.
const SECOND_LOOK: Duration = Duration::from_secs(10);
/// The search ends when the range is this small, in bytes.
const SEARCH_END: u16 = 8;

/// Where packetization-layer probing stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Probing {
    /// The largest MTU that is not known to fail; 0 while there is no suspicion.
    high: u16,
    /// `high` itself was not tried since the suspicion arose.
    high_untried: bool,
    /// A probe of this MTU is out.
    probe: Option<u16>,
    /// The next probe may go out then.
    next_at: Instant,
    /// The probe's MTU got through: taken up at the next occasion.
    confirmed: Option<u16>,
}

impl Probing {
    /// Whether nothing is searched for, and nothing was found that has to be taken up.
    pub(crate) fn is_quiet(&self) -> bool {
        self.high == 0 && self.confirmed.is_none()
    }

    /// The largest MTU that may be probed; none while nothing is searched for.
    pub(crate) fn largest(&self) -> Option<u16> {
        (self.high != 0).then_some(self.high)
    }

    /// The sender knows whether the probe arrived as it was sent, or had to be sent again in smaller segments.
    pub(crate) fn on_fate(&mut self, arrived: bool) {
        match self.probe.take() {
            Some(mtu) if arrived => self.confirmed = Some(mtu),
            Some(mtu) => self.high = mtu,
            None => {}
        }
    }
}

impl Connection {
    /// An ICMP error says that the path takes `mtu` bytes at most (0 from old routers: the next plateau below is tried).
    /// Whether it was news.
    pub(crate) fn path_mtu_shrinks(&mut self, now: Instant, mtu: u16) -> bool {
        let mtu = if mtu == 0 { plateau_below(self.path_mtu) } else { mtu }.max(PATH_MTU_MIN);
        if mtu >= self.path_mtu {
            return false;
        }
        self.path_mtu = mtu;
        self.sender.on_path_mtu(now, self.effective_mss());
        true
    }

    /// The retransmission timer ran out for the `timeouts`th time in a row: full segments may vanish silently.
    pub(crate) fn suspect_black_hole(&mut self, now: Instant, config: &TcpConfig, timeouts: u8) {
        if !config.mtu_probing || timeouts < BLACK_HOLE_TIMEOUTS {
            return;
        }
        let base = config.mtu_probe_base + HEADERS_BYTES;
        let mtu = if self.probing.high == 0 { base } else { self.path_mtu / 2 }.max(PATH_MTU_MIN);
        if mtu < self.path_mtu {
            self.probing.high = self.probing.high.max(self.path_mtu);
            self.probing.high_untried = true;
            self.probing.next_at = now + SECOND_LOOK;
            self.probing.probe = None;
            self.path_mtu = mtu;
            self.sender.on_path_mtu(now, self.effective_mss());
        }
    }

    /// The MTU that should be probed now with new data, if one should (RFC 4821 section 7.3: a binary search).
    pub(crate) fn probe_mtu(&mut self, now: Instant) -> Option<u16> {
        if let Some(mtu) = self.probing.confirmed.take()
            && mtu > self.path_mtu
        {
            self.path_mtu = mtu;
            self.sender.set_mss(self.effective_mss());
            self.probing.next_at = now;
        }
        let probing = &mut self.probing;
        if probing.high == 0 || now < probing.next_at {
            return None;
        }
        if let Some(failed) = probing.probe.take() {
            probing.high = failed;
        }
        if probing.high_untried {
            return Some(probing.high);
        }
        if probing.high.saturating_sub(self.path_mtu) <= SEARCH_END {
            probing.high = 0;
            return None;
        }
        Some(self.path_mtu + (probing.high - self.path_mtu).div_ceil(2))
    }

    /// A probe of `mtu` went out.
    pub(crate) fn probe_sent(&mut self, now: Instant, mtu: u16) {
        self.probing.probe = Some(mtu);
        self.probing.high_untried = false;
        self.probing.next_at = now + PROBE_INTERVAL;
    }
}

/// RFC 1191 section 7.1's plateaus, in bytes.
const PLATEAUS: [u16; 10] = [32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 508, 296, 68];

fn plateau_below(mtu: u16) -> u16 {
    PLATEAUS.into_iter().find(|&plateau| plateau < mtu).unwrap_or(68)
}
