//! One interface: its configuration, and the two queues that its frames are pulled from.

use crate::frame::{DropReason, TxFrame};
use crate::ip::Sender;
use crate::stack::{Cidr, InterfaceConfig, InterfaceId, MacAddr, Medium, Offloads};
use core::net::Ipv4Addr;
use std::collections::VecDeque;

/// An interface of the stack.
pub(crate) struct Interface {
    pub(crate) id: InterfaceId,
    pub(crate) name: String,
    pub(crate) medium: Medium,
    pub(crate) mac: MacAddr,
    pub(crate) mtu: u16,
    pub(crate) offloads: Offloads,
    pub(crate) addresses: Vec<Cidr>,
    pub(crate) traffic: Traffic,
    /// Senders that have something to send, each for one frame a turn.
    ready: VecDeque<Sender>,
    /// Control and forwarded frames, complete.
    egress: VecDeque<TxFrame>,
    /// Whose turn it is where both have something.
    senders_turn: bool,
    /// How many frames of the egress queue go before any sender: packets that were parked, so that what was sent
    /// after them does not overtake them.
    express: usize,
}

/// What went through an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames in.
    pub frames_in: u64,
    /// Bytes of those frames.
    pub bytes_in: u64,
    /// Frames out.
    pub frames_out: u64,
    /// Bytes of those frames.
    pub bytes_out: u64,
}

/// Whose turn it is to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The frame was filled from the egress queue.
    Frame,
    /// This sender, which has left the ready queue.
    Sender(Sender),
    /// Nobody's.
    Nobody,
}

impl Interface {
    pub(super) fn new(id: InterfaceId, config: InterfaceConfig) -> Interface {
        Interface {
            id,
            name: config.name,
            medium: config.medium,
            mac: config.mac,
            mtu: config.mtu,
            offloads: config.offloads,
            addresses: Vec::new(),
            traffic: Traffic::default(),
            ready: VecDeque::new(),
            // All at once: growing by doubling would leave as much again behind, under a flood of answers.
            egress: VecDeque::with_capacity(EGRESS_MAX),
            senders_turn: false,
            express: 0,
        }
    }

    /// Queues a complete frame.
    pub(super) fn push(&mut self, frame: TxFrame) -> Result<(), DropReason> {
        if self.egress_room() == 0 {
            return Err(match self.id {
                InterfaceId::LOOPBACK => DropReason::LoopbackFull,
                _ => DropReason::EgressFull,
            });
        }
        self.egress.push_back(frame);
        Ok(())
    }

    /// What is in the egress queue now goes before any sender.
    pub(super) fn hurry(&mut self) {
        self.express = self.egress.len();
    }

    /// Frames that the egress queue still takes.
    pub(crate) fn egress_room(&self) -> usize {
        EGRESS_MAX - self.egress.len()
    }

    pub(super) fn ready(&mut self, sender: Sender) {
        self.ready.push_back(sender);
    }

    /// Whether anything waits to be sent.
    pub(crate) fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.egress.is_empty()
    }

    /// Alternates between the egress queue and the senders, so that neither starves the other.
    pub(super) fn pull(&mut self, frame: &mut TxFrame) -> Turn {
        if (self.express > 0 || !self.senders_turn || self.ready.is_empty())
            && let Some(queued) = self.egress.pop_front()
        {
            self.express = self.express.saturating_sub(1);
            self.senders_turn = true;
            *frame = queued;
            return Turn::Frame;
        }
        self.senders_turn = false;
        self.ready.pop_front().map_or(Turn::Nobody, Turn::Sender)
    }

    /// Whether an address is one of this interface's.
    pub(crate) fn has_address(&self, address: Ipv4Addr) -> bool {
        self.addresses.iter().any(|own| own.address == address)
    }

    /// Whether an address means all hosts of one of this interface's subnets.
    pub(crate) fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        address == Ipv4Addr::BROADCAST || self.addresses.iter().any(|own| own.broadcast() == Some(address))
    }

    /// Our address towards another one on this link: one from the same subnet where there is one.
    pub(crate) fn address_towards(&self, other: Ipv4Addr) -> Option<Ipv4Addr> {
        let own = self.addresses.iter().find(|own| own.contains(other)).or(self.addresses.first())?;
        Some(own.address)
    }
}

/// Control and forwarded frames that wait on one interface. A TAP's queue holds 1000.
pub(super) const EGRESS_MAX: usize = 512;
