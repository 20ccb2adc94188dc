//! The kernel's page lists: how much freed memory each core keeps for itself.
//!
//! A TAP's frames lie on pages that the sender's core allocates and the reader's core frees. They come back only when the
//! reader's list is full: so all that is sent goes through as much memory as that list holds, and if that is more than
//! the caches hold, each copy waits for memory. The kernel looks after short lists by itself (it gives large pieces back
//! early), but lists of more than some 16 MiB are too long for that, as few cores with much memory have them.

/// What `/proc/zoneinfo` says of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLists {
    /// Pages that a core keeps at least before it gives any back, in the zone where that is most.
    pub longest: u64,
    /// Pages of all zones.
    pub managed: u64,
    /// How many cores have lists.
    pub cores: u64,
    /// Bytes of a page.
    pub page: u64,
}

/// Longer lists than this are too long, in bytes.
const LONG: u64 = 16 << 20;
/// What they had better be, in bytes.
const SHORT: u64 = 8 << 20;
/// The kernel takes no smaller fraction.
const FRACTION_MIN: u64 = 8;

impl PageLists {
    /// Those of this machine. None where the kernel doesn't tell.
    #[cfg(target_os = "linux")]
    pub fn here() -> Option<PageLists> {
        let page = rustix::param::page_size() as u64;
        PageLists::parse(&std::fs::read_to_string("/proc/zoneinfo").ok()?, page)
    }

    /// Those of this machine: only Linux has any.
    #[cfg(not(target_os = "linux"))]
    pub fn here() -> Option<PageLists> {
        None
    }

    /// Reads `/proc/zoneinfo`, for pages of so many bytes. None where that has no lists in it.
    pub fn parse(zoneinfo: &str, page: u64) -> Option<PageLists> {
        let mut lists = PageLists { longest: 0, managed: 0, cores: 0, page };
        // Since Linux 6.7 lists grow and shrink above a minimum; before, they had one length.
        let length = if zoneinfo.contains("high_min:") { "high_min:" } else { "high:" };
        for line in zoneinfo.lines() {
            let mut words = line.split_whitespace();
            let (Some(word), Some(value)) = (words.next(), words.next()) else { continue };
            let value = || value.parse::<u64>().unwrap_or(0);
            match word {
                "managed" => lists.managed += value(),
                "cpu:" => lists.cores = lists.cores.max(value() + 1),
                // (A zone's own `high`, without the colon, is a watermark.)
                word if word == length => lists.longest = lists.longest.max(value()),
                _ => {}
            }
        }
        (lists.cores > 0).then_some(lists)
    }

    /// MiB of the longest one.
    pub fn mib(&self) -> u64 {
        (self.longest * self.page) >> 20
    }

    /// The `vm.percpu_pagelist_high_fraction` that makes them short enough, where they are too long.
    pub fn fraction(&self) -> Option<u64> {
        (self.longest * self.page > LONG)
            .then(|| (self.managed * self.page).div_ceil(self.cores * SHORT).max(FRACTION_MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "\
Node 0, zone    DMA32
  pages free     3000
        high     3660
        managed  772915
  pagesets
    cpu: 0
              count:    12
              high:     51994
              high_min: 1444
              high_max: 48307
    cpu: 1
              high:     252
              high_min: 1444
Node 0, zone   Normal
        high     25557
        managed  5394266
  pagesets
    cpu: 0
              high:     51994
              high_min: 10081
    cpu: 1
              high_min: 10081
";

    #[test]
    fn what_grew_for_a_while_does_not_count() {
        let lists = PageLists::parse(NEW, 4096).unwrap();
        assert_eq!(lists, PageLists { longest: 10_081, managed: 6_167_181, cores: 2, page: 4096 });
        assert_eq!((lists.mib(), lists.fraction()), (39, Some(1_506)));
    }

    #[test]
    fn older_kernels_have_one_length() {
        let old: String =
            NEW.lines().filter(|line| !line.contains("high_m")).map(|line| format!("{line}\n")).collect();
        assert_eq!(PageLists::parse(&old, 4096).unwrap().longest, 51_994);
    }

    #[test]
    fn short_lists_are_well() {
        let lists = PageLists { longest: 4_096, ..PageLists::parse(NEW, 4096).unwrap() };
        assert_eq!(lists.fraction(), None);
        assert_eq!(PageLists::parse("", 4096), None);
        assert_eq!(PageLists::parse("Node 0, zone DMA\n managed\n", 4096), None);
    }
}
