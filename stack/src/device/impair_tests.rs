//! Tests of the link model: repeatable by seed, at the rates that were asked for.

use super::*;

const FRAME: usize = 1514;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// Sends `count` frames, one each millisecond, and returns what became of them.
fn passages(link: &mut Link, count: u64) -> Vec<Passage> {
    (0..count).map(|i| link.send(at(i), FRAME)).collect()
}

fn arrivals(passages: &[Passage]) -> Vec<Instant> {
    passages.iter().flat_map(|p| p.deliveries().iter().map(|d| d.at)).collect()
}

fn rough() -> Impairment {
    Impairment {
        loss: 0.05,
        duplicate: 0.04,
        corrupt: 0.03,
        reorder: 0.1,
        reorder_delay: ms(3),
        delay: ms(10),
        jitter: ms(2),
        rate_bits_per_s: 100_000_000,
        ..Impairment::default()
    }
}

#[test]
fn default_passes_everything_at_once() {
    let mut link = Link::new(Impairment::default(), 1);
    assert!(link.impairment().is_none());
    for (i, passage) in passages(&mut link, 100).iter().enumerate() {
        assert_eq!(passage.deliveries(), [Delivery { at: at(i as u64), corrupt: None }]);
    }
    let expected = ImpairmentCounts { frames: 100, bytes: 100 * FRAME as u64, ..ImpairmentCounts::default() };
    assert_eq!(*link.counts(), expected);
}

#[test]
fn same_seed_same_fate() {
    let run = |seed| passages(&mut Link::new(rough(), seed), 1000);
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn changing_one_probability_leaves_the_others_hits() {
    let corrupt_at = |impairment| -> Vec<usize> {
        let all = passages(&mut Link::new(impairment, 7), 1000);
        let hit = |p: &Passage| p.deliveries().iter().any(|d| d.corrupt.is_some());
        (0..all.len()).filter(|&i| hit(&all[i])).collect()
    };
    let some = corrupt_at(Impairment { corrupt: 0.1, ..Impairment::default() });
    let more = corrupt_at(Impairment { corrupt: 0.1, duplicate: 0.5, delay: ms(4), ..Impairment::default() });
    assert!(!some.is_empty());
    assert_eq!(some, more);
}

#[test]
fn each_impairment_occurs_at_its_rate() {
    let mut link = Link::new(rough(), 42);
    let sent = 100_000;
    let all = passages(&mut link, sent);
    let counts = *link.counts();
    // Five standard deviations of a binomial distribution to either side.
    let near = |count: u64, of: u64, chance: f64| {
        let (mean, spread) = (of as f64 * chance, (of as f64 * chance * (1.0 - chance)).sqrt());
        assert!((count as f64 - mean).abs() < 5.0 * spread, "{count} of {of} is not near {chance}");
    };
    let through = sent - counts.lost;
    near(counts.lost, sent, 0.05);
    near(counts.duplicated, through, 0.04);
    near(counts.corrupted, through, 0.03);
    near(counts.held_back, through, 0.1);
    assert_eq!(counts.queue_dropped, 0);
    assert_eq!(counts.delayed, through);
    assert!(counts.reordered > 0 && counts.reordered <= counts.held_back);
    // The counters say what the passages say.
    let lost = all.iter().filter(|p| **p == Passage::Lost(Loss::Chance)).count();
    let twice = all.iter().filter(|p| p.deliveries().len() == 2).count();
    assert_eq!((lost as u64, twice as u64), (counts.lost, counts.duplicated));
}

#[test]
fn delay_and_jitter_keep_the_order() {
    let impairment = Impairment { delay: ms(20), jitter: ms(10), ..Impairment::default() };
    let all = arrivals(&passages(&mut Link::new(impairment, 3), 1000));
    assert!(all.is_sorted());
    for (i, &out) in all.iter().enumerate() {
        let took = out.since(at(i as u64));
        assert!(took >= ms(20) && took <= ms(30), "frame {i} took {took:?}");
    }
}

#[test]
fn held_back_frames_are_overtaken() {
    let impairment = Impairment {
        delay: ms(5),
        reorder: 0.2,
        reorder_delay: Duration::from_micros(2500),
        ..Impairment::default()
    };
    let mut link = Link::new(impairment, 3);
    let all = arrivals(&passages(&mut link, 10_000));
    // A held-back frame is 2.5 ms late, frames are 1 ms apart: it is overtaken unless the next two are held back too.
    let overtaken = |i: usize| all[i + 1..].iter().take(3).any(|&later| later < all[i]);
    let count = (0..all.len()).filter(|&i| overtaken(i)).count() as u64;
    assert_eq!(link.counts().reordered, count);
    assert!(count > 1500);
}

#[test]
fn rate_spaces_frames_and_the_queue_is_bounded() {
    // 1,250 bytes are 1 ms at 10 Mbit/s; the queue holds four of them beside the one that is being sent.
    let impairment =
        Impairment { rate_bits_per_s: 10_000_000, queue_bytes_max: 5 * 1250, ..Impairment::default() };
    let mut link = Link::new(impairment, 1);
    let burst: Vec<Passage> = (0..10).map(|_| link.send(at(100), 1250)).collect();
    assert_eq!(arrivals(&burst), [at(101), at(102), at(103), at(104), at(105)]);
    assert_eq!(burst[5], Passage::Lost(Loss::QueueFull));
    assert_eq!(link.counts().queue_dropped, 5);
    // 2.5 ms later there is room for two, and they come out behind the others.
    let later: Vec<Passage> = (0..3).map(|_| link.send(Instant::from_micros(102_500), 1250)).collect();
    assert_eq!(arrivals(&later), [at(106), at(107)]);
    // At rest any frame is taken.
    link.set_impairment(Impairment { queue_bytes_max: 0, ..impairment });
    assert_eq!(arrivals(&[link.send(at(200), 12_500)]), [at(210)]);
}

#[test]
fn absurd_settings_neither_panic_nor_overflow() {
    let impairment = Impairment {
        loss: f64::NAN,
        duplicate: f64::INFINITY,
        delay: Duration::MAX,
        rate_bits_per_s: 1,
        queue_bytes_max: usize::MAX,
        reorder: 2.0,
        reorder_delay: Duration::MAX,
        ..Impairment::default()
    };
    let mut link = Link::new(impairment, 1);
    for _ in 0..5000 {
        assert_eq!(arrivals(&[link.send(at(1), 1 << 40)]), [Instant::FAR_FUTURE; 2]);
    }
}

#[test]
fn corruption_flips_one_bit_behind_the_link_header_of_a_copy() {
    let frame = Bytes::from(vec![0u8; 60]);
    let mut hit = vec![false; 46 * 8];
    for step in 0..10_000u64 {
        let pick = (step << 32).div_euclid(10_000) as u32;
        let copy = corrupted(&frame, 14, pick);
        assert_eq!(copy.iter().map(|b| b.count_ones()).sum::<u32>(), 1);
        let byte = copy.iter().position(|&b| b != 0).unwrap();
        hit[(byte - 14) * 8 + copy[byte].leading_zeros() as usize] = true;
    }
    assert!(hit.iter().all(|&h| h), "every bit behind the header can be hit");
    assert!(frame.iter().all(|&b| b == 0), "the shared bytes stay");
    assert_eq!(corrupted(&frame, 60, 1), frame);
    assert_eq!(corrupted(&frame, 14, u32::MAX)[59], 1);
}

#[test]
fn one_frame_of_each_period_is_lost_and_the_seed_says_which() {
    let lost_at = |seed| -> Vec<usize> {
        let all =
            passages(&mut Link::new(Impairment { loss_period: 40, ..Impairment::default() }, seed), 400);
        let lost = |p: &&Passage| p.deliveries().is_empty();
        all.iter().enumerate().filter(|(_, p)| lost(p)).map(|(i, _)| i).collect()
    };
    let first = lost_at(1);
    assert_eq!(first.len(), 10);
    assert!(first.windows(2).all(|pair| pair[1] - pair[0] == 40), "{first:?}");
    assert!((2..20).any(|seed| lost_at(seed) != first), "every seed loses the same frames");
    assert!(!Impairment { loss_period: 40, ..Impairment::default() }.is_none());
}
