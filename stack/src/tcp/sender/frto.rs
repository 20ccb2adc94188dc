//! F-RTO: was the time-out spurious? Found out by sending new data before more retransmissions (RFC 5682).

/// Where the algorithm stands, in the steps of RFC 5682 sections 2.1 (basic) and 3.1 (with SACK).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Frto {
    /// It does not run, or has decided for a genuine time-out.
    #[default]
    Off,
    /// Step 1: the first segment is sent again; the first ACK is awaited.
    AwaitFirstAck,
    /// Step 2b: that ACK moved `snd.una`; up to two new segments are to be sent instead of retransmissions.
    SendNew,
    /// Step 3: new data has left; the second ACK is awaited, and nothing is sent again meanwhile.
    AwaitSecondAck,
}

/// An ACK during recovery from a time-out, as the algorithm sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence {
    /// It moved `snd.una`.
    pub(super) advanced: bool,
    /// ... past all that was sent before the time-out.
    pub(super) recovered: bool,
    /// Data that was sent once, before the time-out, has arrived.
    pub(super) original: bool,
    /// It is a duplicate ACK, or SACKs something new.
    pub(super) duplicate: bool,
    /// The connection uses SACK.
    pub(super) sack: bool,
}

/// What the algorithm makes of an ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The time-out was spurious.
    Spurious,
    /// Go on with recovery (or, while [`Frto::SendNew`] holds, with new data).
    Undecided,
}

impl Frto {
    /// Takes an ACK in.
    pub(super) fn on_ack(&mut self, ack: &Evidence) -> Verdict {
        if *self == Frto::Off {
            return Verdict::Undecided;
        }
        if ack.original && (ack.sack || !ack.recovered) {
            // Step 3b: never-retransmitted data from before the time-out is delivered, so not all was lost. As Linux, at
            // the first ACK as well. Without SACK an ACK of everything proves nothing: what follows a lost segment may
            // have arrived before the time-out (section 2.1, step 2).
            *self = Frto::Off;
            return Verdict::Spurious;
        }
        *self = match *self {
            // Step 2a: a duplicate first ACK. With SACK it only goes to the scoreboard (section 3.1, step 2).
            Frto::AwaitFirstAck if ack.duplicate && !ack.advanced && !ack.sack => Frto::Off,
            Frto::AwaitFirstAck if ack.advanced && !ack.recovered => Frto::SendNew,
            // Step 3a: a duplicate ACK after new data: the loss was real.
            Frto::SendNew | Frto::AwaitSecondAck if ack.duplicate => Frto::Off,
            _ if ack.recovered => Frto::Off,
            phase => phase,
        };
        Verdict::Undecided
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADVANCES: Evidence =
        Evidence { advanced: true, recovered: false, original: false, duplicate: false, sack: false };
    const DUPLICATE: Evidence =
        Evidence { advanced: false, recovered: false, original: false, duplicate: true, sack: false };

    #[test]
    fn step_2b_sends_new_data_and_step_3b_declares_it_spurious() {
        let mut frto = Frto::AwaitFirstAck;
        assert_eq!(frto.on_ack(&ADVANCES), Verdict::Undecided);
        assert_eq!(frto, Frto::SendNew);
        frto = Frto::AwaitSecondAck;
        assert_eq!(frto.on_ack(&Evidence { original: true, ..ADVANCES }), Verdict::Spurious);
        assert_eq!(frto, Frto::Off);
    }

    #[test]
    fn step_2a_and_3a_fall_back() {
        let mut frto = Frto::AwaitFirstAck;
        frto.on_ack(&DUPLICATE);
        assert_eq!(frto, Frto::Off);
        let mut frto = Frto::AwaitFirstAck;
        frto.on_ack(&Evidence { sack: true, ..DUPLICATE });
        assert_eq!(frto, Frto::AwaitFirstAck, "with SACK it stays in step 2");
        let mut frto = Frto::AwaitSecondAck;
        frto.on_ack(&DUPLICATE);
        assert_eq!(frto, Frto::Off);
    }

    #[test]
    fn an_ack_of_everything_ends_it() {
        let mut frto = Frto::AwaitFirstAck;
        let everything = Evidence { recovered: true, original: true, ..ADVANCES };
        assert_eq!(frto.on_ack(&everything), Verdict::Undecided);
        assert_eq!(frto, Frto::Off);
    }
}
