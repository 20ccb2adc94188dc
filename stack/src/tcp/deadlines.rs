//! What a connection does when a deadline has passed (RFC 9293 section 3.10.8, and the timers that hosts add).

use super::config::TcpConfig;
use super::connection::{Connection, Owner, Probe};
use super::sender::DeadlineOut;
use crate::frame::AckWhy;
use crate::socket::{Errno, TcpState};
use crate::stack::Context;
use crate::time::{Duration, Instant};

impl Connection {
    /// Handles every deadline that has passed.
    pub(crate) fn handle_deadline(&mut self, cx: &mut Context, config: &TcpConfig) {
        let now = cx.now;
        if self.timers.handshake <= now {
            self.handshake_timed_out(config);
        }
        if self.state == TcpState::Closed {
            return;
        }
        if self.sender.deadline().is_some_and(|at| at <= now)
            && let DeadlineOut::TimedOut { .. } = self.sender.on_deadline(now)
        {
            cx.counters.tcp_timeouts += 1;
            self.retransmission_timed_out(now, config);
        }
        if self.user_timed_out(now) {
            return self.give_up();
        }
        if self.ack.delayed <= now {
            self.ack.delayed = Instant::FAR_FUTURE;
            self.ack.at_once(AckWhy::Delayed);
        }
        if self.timers.cork <= now {
            self.timers.cork = Instant::FAR_FUTURE;
            self.flags.push = true;
        }
        if self.timers.persist <= now {
            self.persist_timed_out(now, config);
        }
        if self.timers.keepalive <= now {
            self.keepalive_timed_out(now);
        }
        if self.timers.expire <= now && self.state != TcpState::Closed {
            // An orphan in FIN-WAIT-2 whose peer never closes: it goes without a word.
            self.close_with(None);
        }
    }

    /// (Re)starts the keep-alive timer, where the socket wants one.
    pub(crate) fn restart_keepalive(&mut self, now: Instant) {
        self.timers.keepalive = if self.settings.keepalive && self.is_synchronized() {
            now + self.settings.keepalive_idle
        } else {
            Instant::FAR_FUTURE
        };
    }

    fn handshake_timed_out(&mut self, config: &TcpConfig) {
        let max = match self.state {
            TcpState::SynSent => self.settings.syn_retries,
            _ => config.synack_retries,
        };
        if self.handshake.retries >= max {
            return self.give_up();
        }
        self.handshake.retries += 1;
        self.handshake.due = true;
        self.timers.handshake = Instant::FAR_FUTURE;
    }

    /// RFC 9293 section 3.8.3: after R2 (`retries`, or the user's time-out) the connection is given up.
    fn retransmission_timed_out(&mut self, now: Instant, config: &TcpConfig) {
        let timeouts = self.sender.timeouts();
        let max = if self.owner == Owner::Orphan { config.orphan_retries } else { config.retries };
        if self.settings.user_timeout.is_none() && timeouts > max {
            return self.give_up();
        }
        self.suspect_black_hole(now, config, timeouts);
    }

    /// `TCP_USER_TIMEOUT` (RFC 5482): counted from the first retransmission, or the first unanswered probe.
    fn user_timed_out(&self, now: Instant) -> bool {
        self.user_deadline().is_some_and(|at| at <= now)
    }

    /// When the user's time-out comes, if one runs.
    pub(crate) fn user_deadline(&self) -> Option<Instant> {
        let timeout = self.settings.user_timeout?;
        let probing = self.timers.probing_since;
        let since = match self.state {
            TcpState::SynSent | TcpState::SynReceived => Some(self.handshake.sent_at),
            _ => self.sender.first_retransmit_at(),
        };
        let since = since.unwrap_or(probing).min(probing);
        (since != Instant::FAR_FUTURE).then(|| since + timeout)
    }

    /// A zero window is probed for as long as the peer answers (RFC 9293 section 3.8.6.1, MUST-37); silent peers have the
    /// same number of tries as for retransmissions.
    fn persist_timed_out(&mut self, now: Instant, config: &TcpConfig) {
        let max = if self.owner == Owner::Orphan { config.orphan_retries } else { config.retries };
        // Nobody could take what is left of an orphan if it were given up: a peer that keeps its window closed for so long
        // doesn't hold it for ever by answering (as in Linux).
        let held_open = self.owner == Owner::Orphan && self.timers.persist_backoff >= max;
        if self.timers.probes >= max || held_open {
            return self.give_up();
        }
        if self.timers.probing_since == Instant::FAR_FUTURE {
            // A user's time-out runs for as long as the window stays closed, answers or not.
            self.timers.probing_since = now;
        }
        self.timers.probes += 1;
        self.timers.probe_due = Some(Probe::Window);
        self.timers.persist_backoff = self.timers.persist_backoff.saturating_add(1);
        self.timers.persist = now + self.persist_interval(config);
        // With room in the window, what is there goes, however small: the sender's silly-window override.
        self.flags.push = true;
    }

    /// The time to the next probe: exponential backoff (RFC 9293 section 3.8.6.1, SHLD-30).
    pub(crate) fn persist_interval(&self, config: &TcpConfig) -> Duration {
        let backoff = 1u32 << u32::from(self.timers.persist_backoff).min(16);
        self.sender.rto().saturating_mul(backoff).min(config.rto_max)
    }

    /// RFC 9293 section 3.8.4: only on an idle connection, off unless asked for.
    fn keepalive_timed_out(&mut self, now: Instant) {
        let settings = &self.settings;
        let idle_since = self.timers.last_received;
        let due = idle_since + settings.keepalive_idle;
        if now < due || !self.sender.is_idle() {
            // Something came in, or retransmissions watch over the connection already.
            self.timers.keepalive = due.max(now + settings.keepalive_interval);
            return;
        }
        let probes = self.timers.keepalive_probes;
        let dead = match settings.user_timeout {
            Some(timeout) => probes > 0 && now.since(idle_since) >= timeout,
            None => probes >= settings.keepalive_count,
        };
        if dead {
            // The peer may have forgotten us, or be slow: it is told (RFC 9293 section 3.8.4 asks for an abort).
            self.flags.abort = Some("keep-alive probes were not answered");
            return self.give_up();
        }
        self.timers.keepalive_probes += 1;
        self.timers.probe_due = Some(Probe::KeepAlive);
        self.timers.keepalive = now + settings.keepalive_interval;
    }

    /// The peer does not answer any more.
    fn give_up(&mut self) {
        let error = self.soft_error.unwrap_or(Errno::ETIMEDOUT);
        self.close_with(Some(error));
    }
}
