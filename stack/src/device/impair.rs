//! Impairments of a link: loss, duplication, corruption, reordering, delay, jitter, rate and a bounded queue.
//!
//! [`Link`] is logic only: it is told when which frame enters, and says when what comes out. The wrappers in
//! [`super::impaired`] put it around a device, and the simulated world's wires are made of it.

use crate::time::{Duration, Instant};
use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

/// What a link does to the frames that cross it in one direction. The default does nothing.
///
/// Probabilities are from 0 to 1, and are drawn once per frame: a super-frame is one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Impairment {
    /// Probability that a frame is lost.
    pub loss: f64,
    /// Of so many frames exactly one is lost, always the same distance apart; 0 for none. Where the first falls follows
    /// from the seed. Response functions of congestion control are stated for such losses.
    pub loss_period: u64,
    /// Probability that a frame comes out twice.
    pub duplicate: f64,
    /// Probability that a bit of a frame is flipped behind its link header.
    pub corrupt: f64,
    /// Probability that a frame is held back by [`Impairment::reorder_delay`], so that later ones overtake it.
    pub reorder: f64,
    /// How much longer than the others a held-back frame takes.
    pub reorder_delay: Duration,
    /// How long a frame takes, from its last bit sent to its last bit received.
    pub delay: Duration,
    /// Up to how much longer it takes, evenly distributed. Frames do not overtake each other by it.
    pub jitter: Duration,
    /// Bits a second at which frames enter the link; 0 for no limit.
    pub rate_bits_per_s: u64,
    /// Bytes that wait for the rate at most; a frame that doesn't fit is dropped. Without a rate nothing waits.
    pub queue_bytes_max: usize,
}

/// Room in the queue in front of a rate-limited link where nobody asked for another: 170 full frames.
pub const QUEUE_BYTES_DEFAULT: usize = 256 * 1024;

impl Default for Impairment {
    fn default() -> Impairment {
        Impairment {
            loss: 0.0,
            loss_period: 0,
            duplicate: 0.0,
            corrupt: 0.0,
            reorder: 0.0,
            reorder_delay: Duration::from_millis(1),
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            rate_bits_per_s: 0,
            queue_bytes_max: QUEUE_BYTES_DEFAULT,
        }
    }
}

impl Impairment {
    /// Whether every frame comes out at once, once and unchanged.
    pub fn is_none(&self) -> bool {
        let chances = [self.loss, self.duplicate, self.corrupt, self.reorder];
        chances.iter().all(|&chance| chance <= 0.0)
            && self.loss_period == 0
            && self.delay.is_zero()
            && self.jitter.is_zero()
            && self.rate_bits_per_s == 0
    }
}

/// How often each impairment really occurred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImpairmentCounts {
    /// Frames that entered.
    pub frames: u64,
    /// Bytes of those frames.
    pub bytes: u64,
    /// Frames lost by chance, or because it was their turn.
    pub lost: u64,
    /// Frames dropped because the queue was full.
    pub queue_dropped: u64,
    /// Frames that came out twice.
    pub duplicated: u64,
    /// Frames with a flipped bit.
    pub corrupted: u64,
    /// Frames that were held back.
    pub held_back: u64,
    /// Held-back frames that a later one really overtook.
    pub reordered: u64,
    /// Frames that came out later than they entered.
    pub delayed: u64,
}

/// Why a frame did not come out of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// By chance, or because it was the frame's turn.
    Chance,
    /// The queue in front of the link was full.
    QueueFull,
}

/// One copy of a frame that comes out of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// When.
    pub at: Instant,
    /// If set, a bit is flipped: hand this to [`corrupted`].
    pub corrupt: Option<u32>,
}

/// What becomes of a frame that enters a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passage {
    /// Nothing comes out.
    Lost(Loss),
    /// It comes out once, or twice.
    Delivered(SmallVec<[Delivery; 2]>),
}

impl Passage {
    /// The copies that come out.
    pub fn deliveries(&self) -> &[Delivery] {
        match self {
            Passage::Lost(_) => &[],
            Passage::Delivered(deliveries) => deliveries,
        }
    }
}

/// Held-back frames that are watched for being overtaken at most.
const HELD_BACK_MAX: usize = 1024;

/// One direction of a link: an [`Impairment`], the state that it needs, and the randomness of a seed.
#[derive(Clone, Debug)]
pub struct Link {
    impairment: Impairment,
    rng: fastrand::Rng,
    counts: ImpairmentCounts,
    /// Where in its period the link starts to count.
    phase: u64,
    /// When the last frame has left the queue in front of the link.
    busy_until: Instant,
    /// When the latest frame that wasn't held back comes out: jitter must not let others overtake it.
    last_out: Instant,
    /// When held-back frames come out that nobody has overtaken yet.
    held_back: Vec<Instant>,
}

/// What chance says about one frame. All of it is drawn for every frame, needed or not, so that changing one
/// probability doesn't change which frames the others hit.
struct Draw {
    lose: bool,
    duplicate: bool,
    corrupt: Option<u32>,
    hold_back: bool,
    jitter: Duration,
}

impl Link {
    /// A link at rest.
    pub fn new(impairment: Impairment, seed: u64) -> Link {
        Link {
            impairment,
            rng: fastrand::Rng::with_seed(seed),
            counts: ImpairmentCounts::default(),
            // Not the link's own generator: what chance does must not depend on it.
            phase: fastrand::Rng::with_seed(!seed).u64(..),
            busy_until: Instant::ZERO,
            last_out: Instant::ZERO,
            held_back: Vec::new(),
        }
    }

    /// The impairment in force.
    pub fn impairment(&self) -> &Impairment {
        &self.impairment
    }

    /// Changes the impairment for frames that enter from now on.
    pub fn set_impairment(&mut self, impairment: Impairment) {
        self.impairment = impairment;
    }

    /// How often each impairment really occurred.
    pub fn counts(&self) -> &ImpairmentCounts {
        &self.counts
    }

    /// Counts a copy that whoever holds the frames on their way had no room for.
    pub fn count_overflow(&mut self) {
        self.counts.queue_dropped += 1;
    }

    /// A frame of `len` bytes enters: when does what come out?
    pub fn send(&mut self, now: Instant, len: usize) -> Passage {
        self.counts.frames += 1;
        self.counts.bytes += len as u64;
        let draw = self.draw();
        let Some(sent) = self.enqueue(now, len) else {
            self.counts.queue_dropped += 1;
            return Passage::Lost(Loss::QueueFull);
        };
        // A frame that is lost on the way has used the link's time all the same.
        if draw.lose || self.has_its_turn() {
            self.counts.lost += 1;
            return Passage::Lost(Loss::Chance);
        }
        let at = self.arrival(now, sent, &draw);
        if at > now {
            self.counts.delayed += 1;
        }
        if draw.corrupt.is_some() {
            self.counts.corrupted += 1;
        }
        let mut deliveries = SmallVec::new();
        deliveries.push(Delivery { at, corrupt: draw.corrupt });
        if draw.duplicate {
            self.counts.duplicated += 1;
            deliveries.push(Delivery { at, corrupt: None });
        }
        Passage::Delivered(deliveries)
    }

    /// Whether the frame that has just been counted is the one of its period that is lost.
    fn has_its_turn(&self) -> bool {
        let period = self.impairment.loss_period;
        period > 0 && (self.phase % period + self.counts.frames).is_multiple_of(period)
    }

    /// When the frame's last bit has entered the link; none if the queue in front of it is full.
    fn enqueue(&mut self, now: Instant, len: usize) -> Option<Instant> {
        let rate = u128::from(self.impairment.rate_bits_per_s);
        if rate == 0 {
            return Some(now);
        }
        let backlog = self.busy_until.since(now);
        let backlog_bytes = backlog.as_nanos() * rate / 8 / NANOS_PER_S;
        // A link at rest takes any frame, however small its queue is.
        if !backlog.is_zero() && backlog_bytes + len as u128 > self.impairment.queue_bytes_max as u128 {
            return None;
        }
        let nanos = (len as u128 * 8 * NANOS_PER_S).div_ceil(rate);
        let sending = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.busy_until = self.busy_until.max(now) + sending;
        Some(self.busy_until)
    }

    /// When a frame comes out whose last bit has entered at `sent`.
    fn arrival(&mut self, now: Instant, sent: Instant, draw: &Draw) -> Instant {
        let in_order = (sent + self.impairment.delay + draw.jitter).max(self.last_out);
        let at = if draw.hold_back { in_order + self.impairment.reorder_delay } else { in_order };
        self.held_back.retain(|&held| held > now);
        let watched = self.held_back.len();
        self.held_back.retain(|&held| held <= at);
        self.counts.reordered += (watched - self.held_back.len()) as u64;
        if draw.hold_back {
            self.counts.held_back += 1;
            if self.held_back.len() < HELD_BACK_MAX {
                self.held_back.push(at);
            }
        } else {
            self.last_out = at;
        }
        at
    }

    fn draw(&mut self) -> Draw {
        let Impairment { loss, duplicate, corrupt, reorder, jitter, .. } = self.impairment;
        let mut hits = |chance: f64| self.rng.f64() < chance;
        let (lose, duplicate, corrupt, hold_back) =
            (hits(loss), hits(duplicate), hits(corrupt), hits(reorder));
        let (bit, jitter_part) = (self.rng.u32(..), self.rng.f64());
        let jitter = jitter.mul_f64(jitter_part);
        Draw { lose, duplicate, corrupt: corrupt.then_some(bit), hold_back, jitter }
    }
}

const NANOS_PER_S: u128 = 1_000_000_000;

/// A copy of a frame with one bit flipped somewhere behind its first `skip` bytes (its link header: a link that
/// damaged that would deliver to nobody). `pick` says which bit. The shared bytes stay as they are.
pub fn corrupted(frame: &Bytes, skip: usize, pick: u32) -> Bytes {
    let bits = frame.len().saturating_sub(skip) * 8;
    if bits == 0 {
        return frame.clone();
    }
    // The upper bits of a product are as evenly spread as `pick` is; a remainder would need a division.
    let bit = ((bits as u64 * u64::from(pick)) >> 32) as usize;
    let mut copy = BytesMut::from(&frame[..]);
    copy[skip + bit / 8] ^= 0x80 >> (bit % 8);
    copy.freeze()
}

#[cfg(test)]
#[path = "impair_tests.rs"]
mod tests;
