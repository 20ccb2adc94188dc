//! What packetdrill's `--so_flags` may say: words of the form `name=value`, apart by commas or blanks.

use crate::sysctl::PROC_SYS_NET;
use core::net::Ipv4Addr;
use std::path::PathBuf;

/// The flags with their defaults.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Flags {
    /// `local=192.168.0.1`: the interface's first address; others are learned from what the script uses.
    pub(crate) local: Ipv4Addr,
    /// `mtu=1500`.
    pub(crate) mtu: u16,
    /// `seed=1`: where initial sequence numbers and ports come from.
    pub(crate) seed: u64,
    /// `sysctl=/proc/sys/net`: where the settings are read.
    pub(crate) sysctl: PathBuf,
    /// `capture=FILE`: every packet, with cause and outcome, as pcapng.
    pub(crate) capture: Option<PathBuf>,
}

impl Default for Flags {
    fn default() -> Flags {
        Flags {
            local: Ipv4Addr::new(192, 168, 0, 1),
            mtu: 1_500,
            seed: 1,
            sysctl: PROC_SYS_NET.into(),
            capture: None,
        }
    }
}

impl Flags {
    /// Reads the flags; a word that says nothing known is reported and left out.
    pub(crate) fn parse(text: &str) -> Flags {
        let mut flags = Flags::default();
        for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
            if flags.set(word).is_none() {
                eprintln!(
                    "tapstack: --so_flags: {word} is neither local=, mtu=, seed=, sysctl= nor capture="
                );
            }
        }
        flags
    }

    fn set(&mut self, word: &str) -> Option<()> {
        let (name, value) = word.split_once('=')?;
        match name {
            "local" => self.local = value.parse().ok()?,
            "mtu" => self.mtu = value.parse().ok()?,
            "seed" => self.seed = value.parse().ok()?,
            "sysctl" => self.sysctl = value.into(),
            "capture" => self.capture = Some(value.into()),
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_set_what_they_name_and_nonsense_changes_nothing() {
        let flags = Flags::parse("mtu=1400, seed=9 nonsense sysctl=/x local=10.0.0.1x");
        assert_eq!(flags, Flags { mtu: 1_400, seed: 9, sysctl: "/x".into(), ..Flags::default() });
    }
}
